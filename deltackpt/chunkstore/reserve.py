"""A file that is given up when the disk is full, so that gc always has the room to say what it deletes."""

from __future__ import annotations

from contextlib import suppress

from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import StorageError
from deltackpt.fs.disk import Disk

# Two log records and the pages of the index that they change.
RESERVE_BYTES = 512 << 10


def keep_reserve(disk: Disk, layout: Layout) -> None:
    """Set the reserve aside, if there is room and it is not there yet."""
    with suppress(FileExistsError, StorageError):
        fd = disk.create(layout.reserve)
        try:
            disk.allocate(fd, RESERVE_BYTES, layout.reserve)
        except StorageError:
            disk.unlink(layout.reserve)
        finally:
            disk.close(fd, layout.reserve)


def release_reserve(disk: Disk, layout: Layout) -> bool:
    """Give the reserve back to the disk; whether there was one."""
    there = disk.exists(layout.reserve)
    disk.unlink(layout.reserve)
    return there
