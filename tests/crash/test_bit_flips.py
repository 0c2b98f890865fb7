"""A store of every kind of object with one bit flipped: each command gives the same answer or a typed error."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from crash_scenarios import ONE_THREAD, noise
from figures import note

from deltackpt import Store
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.errors import DeltackptError
from deltackpt.history.deletion import delete
from deltackpt.maintenance import gc

W = noise(1, 900)
STATES = {
    1: {"w": W, "names": ["a", "b"], "f": np.arange(60, dtype=np.float32)},
    2: {"w": W + (np.arange(900) % 97 == 0), "names": ["a", "c"], "f": np.arange(60, dtype=np.float32) * 1.5},
    3: {"w": W, "v": noise(2, 700)},
    4: {"v": noise(3, 120)},
}


@pytest.fixture(scope="module")
def original() -> Iterator[Path]:
    """An archived epoch, packs with whole chunks, deltas and bundles, records with data, refs, a deletion, a metric."""
    folder = Path(tempfile.mkdtemp(prefix="deltackpt-bits-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    with pytest.MonkeyPatch.context() as patch, Store.init(folder / "original", options=ONE_THREAD, reserve=0) as store:
        patch.setattr(Transaction.__init__, "__defaults__", (1_500,))
        patch.setattr(gc, "EPOCH_RECORDS", 2)
        store.commit(STATES[1], step=1, metrics={"loss": 2.5})
        store.commit(STATES[2], step=2, tags=["kept"])
        store.commit({"x": noise(4, 90)}, branch="dev")
        store.delete_branch("dev")
        store.gc()
        store.commit(STATES[3], step=3)
        store.commit(STATES[4], step=4)
        store.annotate("main", {"acc": 0.5})
        delete(store._repository, [store.resolve("main~1")])
    yield folder / "original"
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Answer:
    """What a store says of itself: refs, steps of its line, and what it holds."""

    refs: dict[str, str]
    steps: list[int | None]


def answer(store: Store) -> Answer:
    refs = store._repository.look(lambda history: history.view.refs())
    return Answer({key: commit.hex() for key, commit in refs.items()}, [commit.step for commit in store.log("main")])


def ask(path: Path, expected: Answer) -> bool:
    """Ask for everything; whether all was answered, with AssertionError where an answer is wrong."""
    with suppress(DeltackptError), Store(path, options=ONE_THREAD) as store:
        whole = store.verify(data=True).ok
        assert answer(store) == expected or not whole
        return all([whole, *(_loads(store, step) for step in (1, 2, 4))])
    return False


def _loads(store: Store, step: int) -> bool:
    try:
        state = store.load(f"step:{step}")
    except DeltackptError:
        return False
    assert state.keys() == STATES[step].keys()
    for name, value in STATES[step].items():
        same = state[name] == value if isinstance(value, list) else state[name].tobytes() == value.tobytes()
        assert same, (step, name)
    return True


def bits_of(folder: Path) -> list[tuple[str, int]]:
    """Every bit of every file of a store but its index."""
    found = []
    for parent, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = Path(parent, name)
            if "index" not in path.relative_to(folder).parts:
                found += [(str(path.relative_to(folder)), bit) for bit in range(8 * path.stat().st_size)]
    return found


def flip_each(original: Path, bits: Sequence[tuple[str, int]], *, with_index: bool) -> int:
    """Flip each in turn and ask for everything; how many cost something or were reported."""
    copy = original.parent / "copy"
    with Store(original, options=ONE_THREAD) as store:
        expected = answer(store)
    noticed = 0
    for file, bit in bits:
        shutil.copytree(original, copy)
        if not with_index:
            shutil.rmtree(copy / "index")
        data = bytearray((copy / file).read_bytes())
        data[bit // 8] ^= 1 << bit % 8
        (copy / file).write_bytes(data)
        try:
            noticed += not ask(copy, expected)
        except AssertionError as error:
            raise AssertionError(f"bit {bit} of {file}: a wrong answer") from error
        shutil.rmtree(copy)
    return noticed


@pytest.mark.parametrize("with_index", [True, False])
def test_bits_of_a_store(original: Path, with_index: bool) -> None:
    bits = bits_of(original)
    assert len(bits) > 50_000
    assert {file.split("/")[0] for file, _ in bits} >= {"log", "packs", "segments", "store.json"}
    some = bits[:: 331 if with_index else 431]
    assert flip_each(original, some, with_index=with_index) > 0.9 * len(some)


@pytest.mark.campaign
@pytest.mark.parametrize("with_index", [True, False])
def test_every_bit_of_a_store(original: Path, with_index: bool) -> None:
    bits = bits_of(original)
    noticed = flip_each(original, bits, with_index=with_index)
    note(f"{len(bits)} bits flipped, index {'kept' if with_index else 'made anew'}: {noticed} noticed, none wrong")
