"""The index gives back what it does not use, and nothing is left of an attempt that failed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from disks import rows_of, tables_of

from deltackpt import Store
from deltackpt.chunkstore import environment
from deltackpt.errors import StorageError


def bloated(store: Store) -> int:
    """Rows that came and went: pages that nobody uses."""
    store.commit({"n": 1})
    keys = [number.to_bytes(32, "big") for number in range(20_000)]
    with tables_of(store) as tables:
        for key in keys:
            tables.put(b"chunks", key, bytes(80))
    with tables_of(store) as tables:
        for key in keys:
            tables.delete(b"chunks", key)
    return os.path.getsize(os.path.join(store.index_path, "lmdb", "data.mdb"))


def test_unused_pages_are_given_back(store: Store) -> None:
    size = bloated(store)
    rows = rows_of(store)
    with Store(store.path) as other:
        assert other.load("main") == {"n": 1}
        assert store._repository.chunks.index.update().compact() > size / 2
        assert rows_of(store) == rows
        assert other.load("main") == {"n": 1}


def test_a_disk_that_is_full_holds_nothing_of_the_attempt(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bloated(store)
    rows = rows_of(store)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(environment.os, "fsync", full)
    with pytest.raises(StorageError):
        store._repository.chunks.index.update().compact()
    monkeypatch.undo()
    assert not Path(store.index_path, "new").exists()
    assert rows_of(store) == rows
