"""The reserve: as large as it was asked to be, given up and taken back, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltackpt import InvalidInputError, Store
from deltackpt.chunkstore import reserve
from deltackpt.chunkstore.layout import Layout
from deltackpt.fs.disk import Disk, DiskFullError

MIB = 1 << 20


class SmallDisk(Disk):
    """Room for ``room`` bytes of files that are set aside, and full until something is removed."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._held: dict[str, int] = {}

    def free_bytes(self, path: str, *, at_most: bool = False) -> int:
        return self.room - sum(self._held.values())

    def allocate(self, fd: int, size: int, path: str) -> None:
        if size > self.free_bytes(path):
            raise DiskFullError("full; nothing was published")
        super().allocate(fd, size, path)
        self._held[path] = size

    def unlink(self, path: str) -> None:
        super().unlink(path)
        self._held.pop(path, None)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path))


@pytest.mark.parametrize("size", [1, 3, 4097, MIB])
def test_the_bytes_are_there_and_come_back(layout: Layout, size: int) -> None:
    reserve.keep_reserve(Disk(), layout, size)
    assert reserve.reserve_held(Disk(), layout) == size
    assert reserve.release_reserve(Disk(), layout)
    assert reserve.reserve_held(Disk(), layout) == 0
    assert not reserve.release_reserve(Disk(), layout)


def test_no_reserve_leaves_no_trace(layout: Layout) -> None:
    reserve.keep_reserve(Disk(), layout, 0)
    assert not Path(layout.reserve).exists()


def test_what_there_is_room_for_is_set_aside_and_the_rest_once_there_is(layout: Layout) -> None:
    disk = SmallDisk(room=3 * MIB)
    reserve.keep_reserve(disk, layout, 8 * MIB)
    assert reserve.reserve_held(disk, layout) == 3 * MIB
    disk.room = 20 * MIB
    reserve.keep_reserve(disk, layout, 8 * MIB)
    assert reserve.reserve_held(disk, layout) == 8 * MIB


def test_a_small_disk_keeps_a_small_reserve(layout: Layout) -> None:
    assert reserve.default_bytes(SmallDisk(room=MIB), layout) == MIB // 16
    assert reserve.default_bytes(SmallDisk(room=1 << 40), layout) == reserve.DEFAULT_BYTES


def test_an_action_gets_the_reserve_once_and_it_is_taken_back(layout: Layout) -> None:
    disk = SmallDisk(room=MIB)
    reserve.keep_reserve(disk, layout, MIB)
    seen: list[int] = []

    def action() -> str:
        seen.append(disk.free_bytes(layout.root))
        if not seen[-1]:
            raise DiskFullError("full; nothing was published")
        return "done"

    assert reserve.despite_full_disk(disk, layout, MIB, action) == "done"
    assert seen == [0, MIB]
    assert reserve.reserve_held(disk, layout) == MIB


def test_without_a_reserve_the_disk_is_full(layout: Layout) -> None:
    def action() -> None:
        raise DiskFullError("full; nothing was published")

    with pytest.raises(DiskFullError):
        reserve.despite_full_disk(SmallDisk(room=0), layout, MIB, action)


@pytest.mark.parametrize(("told", "size"), [("2MiB", 2 * MIB), ("0", 0), (5000, 5000), (None, MIB)])
def test_a_new_store_sets_it_aside(tmp_path: Path, told: int | str | None, size: int) -> None:
    with Store.init(tmp_path / "store", reserve=told) as store:
        files = sorted(Path(store.path, "reserve").glob("*")) if size else []
        assert sum(path.stat().st_size for path in files) == size
        assert store._repository.chunks.facts.reserve_bytes == size


@pytest.mark.parametrize("told", ["much", "-1", -1, "1.5B"])
def test_a_size_that_makes_no_sense(tmp_path: Path, told: int | str) -> None:
    with pytest.raises(InvalidInputError):
        Store.init(tmp_path / "store", reserve=told)
    assert not (tmp_path / "store").exists()


def test_a_reserve_that_does_not_fit_is_not_tried_and_makes_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Disk, "allocate", lambda *arguments: pytest.fail("this would fill the disk for a moment"))
        with pytest.raises(DiskFullError, match="no room for a reserve of 1000000000000000000 bytes"):
            Store.init(tmp_path / "store", reserve=10**18)
    assert not (tmp_path / "store" / "store.json").exists()
    Store.init(tmp_path / "store").close()


def test_gc_takes_back_a_reserve_that_was_removed(store: Store) -> None:
    for path in Path(store.path, "reserve").iterdir():
        path.unlink()
    store.gc()
    assert sum(path.stat().st_size for path in Path(store.path, "reserve").iterdir()) == reserve.DEFAULT_BYTES
