"""Files that others put sound ones in the place of, while a reader has them open."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from disks import Overtaken, damage, opened, packs

from deltackpt import Store
from deltackpt.chunkstore.record import RecordCorruptError
from deltackpt.fs.disk import Disk

WEIGHTS = np.random.default_rng(1).standard_normal(100_000)


class Restless(Disk):
    """A share that has another number for a file whenever it is asked."""

    def is_at(self, fd: int, path: str) -> bool:
        super().is_at(fd, path)
        return False


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one pack."""
    with Store.init(tmp_path / "store") as store:
        store.commit({"w": WEIGHTS}, step=1)
        yield store


def test_damage_is_told_where_every_file_seems_replaced(store: Store) -> None:
    (path,) = packs(store)
    damage(path)
    with opened(store.path, Restless(), threads=1) as other, pytest.raises(RecordCorruptError, match=path.stem[:8]):
        other.load("main")


def test_what_one_thread_finds_mended_the_other_reads_again(store: Store) -> None:
    """The one that comes second finds no replaced file any more: the first has let go of it."""
    (path,) = packs(store)
    sound = path.read_bytes()
    chunk, place = max(store._repository.chunks.look(lambda view: list(view.chunks())), key=lambda row: row[1].offset)
    plain = bytes(store._repository.reader.read(chunk))
    damage(path, place.offset + place.stored_length - 1)
    found: list[bytes] = []

    def mended_and_read() -> None:
        fresh = path.with_suffix(".new")
        fresh.write_bytes(sound)
        os.replace(fresh, path)
        thread = threading.Thread(target=lambda: found.append(bytes(reader.read(chunk))))
        thread.start()
        thread.join()

    with opened(store.path, Overtaken(path, place.offset, mended_and_read)) as other:
        reader = other._repository.reader
        assert bytes(reader.read(chunk)) == plain
    assert found == [plain]
