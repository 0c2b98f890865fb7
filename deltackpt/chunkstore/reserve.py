"""Room set aside on the disk, given up when it is full, so that what deletes can always say so in the log.

A disk may be out of bytes or out of names, so the reserve is a few files: giving them up frees some of both.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import StorageError
from deltackpt.fs.disk import Disk, DiskFullError, ReadOnlyError

T = TypeVar("T")

DEFAULT_BYTES = 64 << 20
# A small disk is not for the reserve.
SHARE_OF_ROOM = 16
# Enough for the records of a prune and a gc, for a pack of what the gc copies, and for the folder of that.
FILES = 8


def default_bytes(disk: Disk, layout: Layout) -> int:
    """The reserve of a new store that was not told any other."""
    return min(DEFAULT_BYTES, disk.free_bytes(layout.root) // SHARE_OF_ROOM)


def keep_reserve(disk: Disk, layout: Layout, size: int) -> None:
    """Set ``size`` bytes aside, or as many as there is room for, unless that was done already."""
    shares = [(path, size * (at + 1) // FILES - size * at // FILES) for at, path in enumerate(_paths(layout))]
    with suppress(FileExistsError, StorageError):
        missing = [(path, share) for path, share in shares if share and _held(disk, path) < share]
        if missing:
            disk.make_directory(layout.reserve)
            for path, share in missing:
                disk.unlink(path)
                _set_aside(disk, path, min(share, disk.free_bytes(layout.root)))
            disk.sync_directory(layout.reserve)


def release_reserve(disk: Disk, layout: Layout) -> bool:
    """Give the reserve back to the disk; whether there was one."""
    released = False
    with suppress(ReadOnlyError):
        for path in _paths(layout):
            released |= disk.exists(path)
            disk.unlink(path)
    return released


def reserve_held(disk: Disk, layout: Layout) -> int:
    """Bytes that are set aside now."""
    return sum(_held(disk, path) for path in _paths(layout))


def despite_full_disk(disk: Disk, layout: Layout, size: int, action: Callable[[], T]) -> T:
    """What ``action`` gives; on a full disk it is tried again without the reserve, which is set aside anew after it."""
    try:
        return action()
    except DiskFullError:
        if not release_reserve(disk, layout):
            raise
    try:
        return action()
    finally:
        keep_reserve(disk, layout, size)


def _paths(layout: Layout) -> list[str]:
    return [os.path.join(layout.reserve, str(number)) for number in range(FILES)]


def _held(disk: Disk, path: str) -> int:
    try:
        return disk.size(path)
    except FileNotFoundError:
        return 0


def _set_aside(disk: Disk, path: str, size: int) -> None:
    fd = disk.create(path)
    try:
        disk.allocate(fd, size, path)
    except StorageError:
        disk.unlink(path)
    finally:
        disk.close(fd, path)
