"""Chunks that two writers brought, each in a record that holds others, too: gc copies both records."""

from __future__ import annotations

import numpy as np
import pytest
from disks import InterruptedDisk, opened, rows_of

from deltackpt import Store
from deltackpt.chunkstore.location import Location
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.ids import ChunkId
from deltackpt.maintenance import condemn


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything over 8 KB goes to packs."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (8_000,))


def noise(seed: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def near(array: np.ndarray, every: int) -> np.ndarray:
    return array + (np.arange(array.size) % every == 0).astype(np.uint8)


def location(store: Store, array: np.ndarray) -> Location:
    found = store._repository.chunks.look(lambda view: view.chunk(ChunkId.of(array.tobytes())))
    assert found is not None
    return found


@pytest.mark.parametrize("most", [1, 3_000], ids=["in two steps", "in one step"])
def test_a_copy_of_a_higher_rank_does_not_take_over(store: Store, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condemn, "MOST_CHUNKS", most)
    shared, x, r = noise(1, 3_000), noise(2, 20_000), noise(3, 20_000)
    store.commit({"x": x, "m": near(shared, 91)}, branch="a")
    store.commit({"x": near(x, 91), "m": near(near(shared, 91), 89)}, branch="a")
    # One brings the chunk whole, the other, which is second, as a part of a record of rank 2.
    first = {"m": shared, "r": r, "junk": noise(4, 200_000)}
    second = {"x": near(near(x, 91), 89), "m": shared, "junk": noise(5, 200_000)}
    with Store(store.path) as other:
        interrupted = opened(store.path, InterruptedDisk(lambda: other.commit(first, branch="b") and None), threads=1)
        interrupted.commit(second, branch="a")
        interrupted.close()
    assert location(store, shared).rank == 0
    assert location(store, second["x"]).rank == 2
    top = {"m": near(shared, 83), "r": near(r, 83)}
    store.commit(top, branch="b")
    assert location(store, top["m"]).base == ChunkId.of(shared.tobytes())
    # Without the junk, both packs are worth rewriting.
    kept = {"a": {"x": second["x"], "m": shared}, "b": top, "c": {"m": shared, "r": r}}
    for name, state in kept.items():
        store.commit(state, branch=f"kept-{name}", parent=None)
    store.delete_branch("a")
    store.delete_branch("b")
    plan = store.gc()
    assert len(plan.condemned) == 2
    assert len(plan.steps) == (2 if most == 1 else 1)
    for name, state in kept.items():
        loaded = store.load(f"kept-{name}")
        assert all(np.array_equal(loaded[tensor], value) for tensor, value in state.items())
    assert location(store, shared).rank == 0
    assert store.verify(data=True).problems == []
    rows = rows_of(store)
    store._repository.chunks.rebuild()
    assert rows_of(store) == rows
