"""A chunk that a commit holds both as the end of a large tensor and as a small one is stored once."""

from __future__ import annotations

import numpy as np
import pytest
from disks import packs

from deltackpt import Store
from deltackpt.chunkstore.pack import read_entries
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.fs.disk import Disk
from deltackpt.ids import ChunkId, PackId


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_it_is_stored_once(store: Store, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]) -> None:
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (1_000,))
    large = np.random.default_rng(0).integers(0, 256, (4 << 20) + 3_000, dtype=np.uint8)
    tail = large[4 << 20 :].copy()
    state = dict(sorted({names[0]: large, names[1]: tail}.items()))
    store.commit(state)
    chunk = ChunkId.of(tail.tobytes())
    entries = [entry for path in packs(store) for entry in read_entries(Disk(), str(path), PackId.from_hex(path.stem))]
    assert sum(member.id == chunk for entry in entries for member in entry.head.members) == 1
    with Store(store.path) as other:
        assert all(np.array_equal(other.load("main")[name], value) for name, value in state.items())
