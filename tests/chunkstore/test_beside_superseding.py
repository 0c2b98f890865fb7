"""Reading while a record that turns chains round comes in, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from deltackpt import Store
from deltackpt.chunkstore import update
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.chunkstore.update import Update
from deltackpt.ids import ChunkId
from deltackpt.maintenance.repack import repack, reversal

SIZE = 60_000


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything over 8 KB goes to packs, and every chain is dear enough to be repacked."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (8_000,))
    monkeypatch.setattr(reversal, "FAVOURED_BUDGET", 0.0)


def walk(steps: int, size: int = SIZE, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    states = [rng.normal(size=size // 4)]
    for _ in range(steps - 1):
        states.append(states[-1] + rng.normal(scale=1e-3, size=size // 4))
    return [state.astype(np.float32) for state in states]


def test_reads_in_the_middle_of_a_record(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    states = walk(6)
    for step, state in enumerate(states):
        store.commit({"w": state}, step=step)
    monkeypatch.setattr(update, "ROWS_PER_TRANSACTION", 1)
    write = Update._write
    looks = []

    def watched(self: Update, number: int, changes: object) -> None:
        write(self, number, changes)
        if not looks or looks[-1] != "busy":
            looks.append("busy")
            with Store(store.path) as reader:
                view = reader._repository.reader
                for state in states:
                    assert view.read(ChunkId.of(state.tobytes())) == state.tobytes()
            looks.append("done")

    monkeypatch.setattr(Update, "_write", watched)
    with Store(store.path) as other:
        assert other.repack().records
    assert len(looks) > 4


def test_bases_of_a_bundle_that_were_not_looked_up_rise(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old records are still there: the repack has not come to its last gc."""
    monkeypatch.setattr(repack, "collect", lambda repository: None)
    walks = [walk(6, 3_000, seed) for seed in range(30)]
    for step in range(6):
        store.commit({f"t{i}": states[step] for i, states in enumerate(walks)}, step=step)
    with Store(store.path) as reader:
        wanted = ChunkId.of(walks[3][5].tobytes())
        known = reader._repository.reader.locate([wanted])
        with Store(store.path) as other:
            assert other.repack().records
        out = memoryview(bytearray(walks[3][5].nbytes))
        reader._repository.reader.read_into(wanted, out, known)
        assert out == walks[3][5].tobytes()
