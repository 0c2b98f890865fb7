"""Rows of packs that are gone count for nothing at once, and are taken out of the index when there are many."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from disks import damage, packs, rows_of, tables_of

from deltackpt import Keep, Store
from deltackpt.chunkstore import update
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.chunkstore.update import Update
from deltackpt.chunkstore.view import View
from deltackpt.ids import ChunkId

COMMITS = 12


@pytest.fixture(autouse=True)
def everything_in_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (0,))


@pytest.fixture
def unswept(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A gc took eleven of twelve commits, and was stopped before it took their rows."""
    for step in range(COMMITS):
        store.commit({"w": noise(step)}, step=step)
    store.prune(Keep(last=1))

    def stopped(self: Update, chunks: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Update, "sweep", stopped)
        with pytest.raises(KeyboardInterrupt):
            store.gc()
    return store


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, 20_000, dtype=np.uint8)


def chunk(seed: int) -> ChunkId:
    return ChunkId.of(noise(seed).tobytes())


def rows(store: Store) -> int:
    with tables_of(store) as tables:
        return tables.entries(b"chunks")


def leaving(store: Store) -> int:
    return store._repository.chunks.look(lambda view: len(view.leaving()))


def is_found(store: Store, seed: int) -> bool:
    def ask(view: View) -> bool:
        found = view.chunk(chunk(seed)) is not None
        assert (view.pack_of(chunk(seed)) is not None) == found
        assert (chunk(seed) in dict(view.chunks())) == found
        return found

    return store._repository.chunks.look_now(ask)


def test_a_gc_leaves_no_row_of_what_it_took(store: Store) -> None:
    for step in range(COMMITS):
        store.commit({"w": noise(step)}, step=step)
    before = rows(store)
    store.prune(Keep(last=1))
    store.gc()
    assert leaving(store) == 0
    assert rows(store) == len(rows_of(store)[b"chunks"]) < before / 4


def test_rows_of_what_is_gone_count_for_nothing(unswept: Store) -> None:
    assert leaving(unswept) == COMMITS - 1
    assert rows(unswept) > 2 * len(rows_of(unswept)[b"chunks"])
    assert [is_found(unswept, step) for step in range(COMMITS)] == [False] * (COMMITS - 1) + [True]
    assert unswept.verify(data=True).problems == []
    kept_up = rows_of(unswept)
    unswept._repository.chunks.rebuild()
    assert rows_of(unswept) == kept_up
    assert leaving(unswept) == 0, "their files were gone before this index heard of them"


def test_what_is_gone_comes_again_under_its_old_row(unswept: Store) -> None:
    again = unswept.commit({"w": noise(3), "v": noise(4)}, step=100)
    assert again.stored_bytes > 30_000
    assert is_found(unswept, 3)
    assert is_found(unswept, 4)
    kept_up = rows_of(unswept)
    loaded = unswept.load("main")
    assert [loaded["w"].tobytes(), loaded["v"].tobytes()] == [noise(3).tobytes(), noise(4).tobytes()]
    unswept._repository.chunks.rebuild()
    assert rows_of(unswept) == kept_up


def test_the_next_gc_takes_them_and_spares_what_came_again(unswept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows at a time, and others have their turns between."""
    monkeypatch.setattr(update, "ROWS_IN_PASSING", 5)
    unswept.commit({"w": noise(3)}, step=100)
    unswept.commit({"w": noise(200)}, branch="short")
    unswept.delete_branch("short")
    expected = {seed: is_found(unswept, seed) for seed in range(COMMITS)}
    unswept.gc()
    assert leaving(unswept) == 0
    assert rows(unswept) == len(rows_of(unswept)[b"chunks"])
    assert {seed: is_found(unswept, seed) for seed in range(COMMITS)} == expected
    assert unswept.verify(data=True).problems == []


def test_few_rows_are_left_where_they_are(store: Store) -> None:
    """To look at every row costs what exists, not what changed: it waits until there are enough."""
    for step in range(40):
        store.commit({f"{step}": noise(step)}, branch=f"{step}")
    store.delete_branch("7")
    store.gc()
    assert leaving(store) == 1
    assert not is_found(store, 7)
    assert store.gc(dry_run=True).empty
    for step in range(10):
        store.delete_branch(f"{20 + step}")
    store.gc()
    assert leaving(store) == 0
    assert [step for step in range(40) if not is_found(store, step)] == [7, *range(20, 30)]


@pytest.mark.parametrize("mishap", ["a pack is damaged", "a row is damaged"])
def test_damage_beside_them_is_told_and_mended(unswept: Store, mishap: str) -> None:
    unswept.commit({"w": noise(50)}, branch="second")
    if mishap == "a pack is damaged":
        damage(max(packs(unswept), key=os.path.getsize))
        assert not Store.repair(unswept.path, execute=True).empty
    else:
        spoil_row(unswept, 50)
    unswept.commit({"w": noise(COMMITS - 1)}, step=101)
    unswept.commit({"w": noise(50)}, branch="second")
    assert unswept.load("main")["w"].tobytes() == noise(COMMITS - 1).tobytes()
    assert unswept.verify(data=True).problems == []


def spoil_row(store: Store, seed: int) -> None:
    with tables_of(store) as tables:
        raw = tables.txn.get(chunk(seed), db=tables.handles[b"chunks"])
        tables.txn.put(chunk(seed), bytes([raw[0] ^ 1]) + raw[1:], db=tables.handles[b"chunks"])


def test_the_file_of_the_index_shrinks(store: Store) -> None:
    with tables_of(store) as tables:
        for number in range(20_000):
            tables.put(b"chunks", number.to_bytes(32, "big"), bytes(78))
    store.commit({"w": noise(1)})
    size = Path(store.index_path, "lmdb", "data.mdb").stat().st_size
    with tables_of(store) as tables:
        tables.put(b"meta", b"leaving:" + bytes(16), b"")
    index = store._repository.chunks.index.update()
    index.sweep(3)
    index.compact()
    assert os.path.getsize(os.path.join(store.index_path, "lmdb", "data.mdb")) < size / 4
    assert store.load("main")["w"].tobytes() == noise(1).tobytes()
