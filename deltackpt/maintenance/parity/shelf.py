"""Parity files in the store's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.location import inline_record
from deltackpt.errors import CorruptError, StorageError
from deltackpt.fs.disk import Disk
from deltackpt.fs.lock import hold, is_held
from deltackpt.ids import PackId
from deltackpt.maintenance.parity.code import MOST_SHARE
from deltackpt.maintenance.parity.file import ParityFile
from deltackpt.maintenance.repair.salvage import MAX_PACK_BYTES

MAX_PARITY_BYTES = int(MAX_PACK_BYTES * (MOST_SHARE + 1))
_SUFFIX = ".par"
_ASIDE = ".new"
_SECTOR = 4096


def read_parity(disk: Disk, layout: Layout, pack: PackId) -> ParityFile:
    """FileNotFoundError when there is none, CorruptError when its head is damaged, StorageError when that is illegible.

    Parity blocks that cannot be read are as damaged ones.
    """
    path = layout.parity(pack)
    try:
        return ParityFile.decode(disk.read(path, MAX_PARITY_BYTES), pack, path)
    except StorageError as error:
        try:
            return ParityFile.decode(_legible(disk, path), pack, path)
        except CorruptError:
            raise StorageError(f"{error}; or remove that file, its pack is as one without parity then") from error


def _legible(disk: Disk, path: str) -> bytes:
    """A file, zeros for what cannot be read of it."""
    fd = disk.open(path)
    try:
        size, pieces = min(disk.size(path), MAX_PARITY_BYTES), []
        for at in range(0, size, _SECTOR):
            piece = b""
            with suppress(StorageError):
                piece = disk.read_at(fd, at, min(_SECTOR, size - at), path)
            pieces.append(piece.ljust(min(_SECTOR, size - at), b"\0"))
        return b"".join(pieces)
    finally:
        disk.close(fd, path)


def pack_sizes(store: ChunkStore) -> dict[PackId, int]:
    """The packs that may have parity: those of the store as it is now, with the bytes of their files."""
    packs = store.look_now(lambda view: {pack: row.size for pack, row in view.packs().items()})
    return {pack: size for pack, size in packs.items() if inline_record(pack) is None}


def parity_files(disk: Disk, layout: Layout) -> Iterator[tuple[PackId, str]]:
    """Every parity file, and the pack that it belongs to."""
    for shelf in disk.names(layout.parities):
        folder = os.path.join(layout.parities, shelf)
        for name in disk.names(folder) if os.path.isdir(folder) else ():
            with suppress(ValueError):
                if name.endswith(_SUFFIX):
                    yield PackId.from_hex(name.removesuffix(_SUFFIX)), os.path.join(folder, name)


def parity_bytes(disk: Disk, layout: Layout) -> int:
    """Bytes of all parity files; one that a gc takes meanwhile is none."""
    total = 0
    for _, path in parity_files(disk, layout):
        with suppress(FileNotFoundError):
            total += disk.size(path)
    return total


def unfinished(disk: Disk, layout: Layout) -> Iterator[str]:
    """Files that :func:`replace` left behind when it was interrupted."""
    shelves = (os.path.join(folder, name) for folder in (layout.packs, layout.parities) for name in disk.names(folder))
    for shelf in filter(os.path.isdir, shelves):
        paths = (os.path.join(shelf, name) for name in disk.names(shelf) if name.endswith(_ASIDE))
        yield from (path for path in paths if not is_held(path))


def replace(disk: Disk, path: str, data: bytes) -> None:
    """Put a whole file, durable, in the place of what is at ``path``, on a shelf of two levels.

    It is renamed within its folder: of a rename between two folders a power loss may leave neither name. Several may do
    so at once, each with a file of its own. StorageError when that was swept by somebody, or cannot be written.
    """
    shelf, aside = os.path.dirname(path), f"{path}.{os.urandom(8).hex()}{_ASIDE}"
    for folder in (os.path.dirname(shelf), shelf):
        disk.make_directory(folder)
        disk.sync_directory(os.path.dirname(folder))
    fd = disk.create(aside)
    try:
        try:
            hold(fd)
            disk.write(fd, [data], aside)
            disk.sync(fd, aside)
            disk.rename(aside, path)
        finally:
            disk.close(fd, aside)
        disk.sync_directory(shelf)
    except FileNotFoundError:
        raise StorageError(f"{aside!r} was taken away before it was complete; run this again") from None
    except BaseException:
        disk.unlink(aside)
        raise
