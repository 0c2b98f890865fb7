"""Parity files in the store's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from deltackpt.chunkstore.layout import Layout
from deltackpt.fs.disk import Disk
from deltackpt.ids import PackId
from deltackpt.maintenance.parity.code import MOST_SHARE
from deltackpt.maintenance.parity.file import ParityFile
from deltackpt.maintenance.repair.salvage import MAX_PACK_BYTES

MAX_PARITY_BYTES = int(MAX_PACK_BYTES * (MOST_SHARE + 1))
_SUFFIX = ".par"


def read_parity(disk: Disk, layout: Layout, pack: PackId) -> ParityFile:
    """FileNotFoundError when there is none; CorruptError when its head is damaged."""
    path = layout.parity(pack)
    return ParityFile.decode(disk.read(path, MAX_PARITY_BYTES), pack, path)


def parity_files(disk: Disk, layout: Layout) -> Iterator[tuple[PackId, str]]:
    """Every parity file, and the pack that it belongs to."""
    for shelf in disk.names(layout.parities):
        folder = os.path.join(layout.parities, shelf)
        for name in disk.names(folder) if os.path.isdir(folder) else ():
            with suppress(ValueError):
                if name.endswith(_SUFFIX):
                    yield PackId.from_hex(name.removesuffix(_SUFFIX)), os.path.join(folder, name)


def replace(disk: Disk, path: str, data: bytes) -> None:
    """Put a whole file, durable, in the place of what is at ``path``, on a shelf of two levels.

    It is renamed within its folder: of a rename between two folders a power loss may leave neither name.
    """
    shelf, aside = os.path.dirname(path), f"{path}.new"
    for folder in (os.path.dirname(shelf), shelf):
        disk.make_directory(folder)
        disk.sync_directory(os.path.dirname(folder))
    # Of one that was interrupted.
    disk.unlink(aside)
    fd = disk.create(aside)
    try:
        try:
            disk.write(fd, [data], aside)
            disk.sync(fd, aside)
        finally:
            disk.close(fd, aside)
        disk.rename(aside, path)
        disk.sync_directory(shelf)
    except BaseException:
        disk.unlink(aside)
        raise
