"""Writes records into packs, outside the store until they are published.

A pack grows in ``tmp/``. When it is full it gets its footer, is synced, read back, moved to its shelf in
``packs/`` and its directory is synced; only then may a log record name it. Closing runs on a thread of its own,
so the disk works while the next pack fills.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass

from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.pack import (
    HEADER_SIZE,
    TARGET_PACK_BYTES,
    PackCorruptError,
    PackEntry,
    footer_and_trailer,
    header,
    read_entries,
)
from deltackpt.chunkstore.record import RecordHead, seal
from deltackpt.errors import StorageError
from deltackpt.fs.disk import Disk
from deltackpt.fs.lock import hold
from deltackpt.fs.writeback import Writeback
from deltackpt.ids import PackId

Payload = Sequence[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class FinishedPack:
    """A durable pack on its shelf, not yet part of the store."""

    id: PackId
    size: int
    entries: tuple[PackEntry, ...]


class _GrowingPack:
    """A pack that is being written."""

    def __init__(self, disk: Disk, layout: Layout, syncer: Executor) -> None:
        self.id = PackId.new()
        self.path = layout.pack_in_progress(self.id)
        self.entries: list[PackEntry] = []
        self.offset = HEADER_SIZE
        disk.make_directory(layout.tmp)
        self.fd = disk.create(self.path)
        self.writeback = Writeback(disk, self.fd, self.path, syncer)
        hold(self.fd)


class PackWriter:
    """Appends records to a sequence of packs. Used from one thread."""

    def __init__(self, disk: Disk, layout: Layout, pack_bytes: int = TARGET_PACK_BYTES) -> None:
        self._disk = disk
        self._layout = layout
        self._pack_bytes = pack_bytes
        self._growing: _GrowingPack | None = None
        self._closer = ThreadPoolExecutor(1, thread_name_prefix="deltackpt-pack")
        self._closing: list[Future[FinishedPack]] = []

    def append(self, head: RecordHead, payload: Payload) -> None:
        pack = self._growing
        if pack is None:
            pack = self._growing = _GrowingPack(self._disk, self._layout, self._closer)
            self._disk.write(pack.fd, [header(pack.id)], pack.path)
        self._disk.write(pack.fd, seal(head, payload), pack.path)
        pack.entries.append(PackEntry(pack.offset, head))
        pack.offset += head.stored_length
        if pack.offset >= self._pack_bytes:
            self._close_growing()
        else:
            pack.writeback.wrote(head.stored_length)

    def finish(self) -> list[FinishedPack]:
        """Every pack written, durable and on its shelf. ``FileNotFoundError`` when a gc swept one that was growing."""
        if self._growing is not None:
            self._close_growing()
        try:
            return [future.result() for future in self._closing]
        finally:
            self._closer.shutdown(wait=True)

    def abandon(self) -> None:
        """Remove every pack, for good: none of them may be published any more. What cannot be removed is gc's work."""
        self._closer.shutdown(wait=True)
        if (pack := self._growing) is not None:
            self._growing = None
            with contextlib.suppress(StorageError):
                self._disk.close(pack.fd, pack.path)
            self._remove(pack.path)
        for future in self._closing:
            if future.exception() is None:
                self._remove(self._layout.pack(future.result().id))

    def _remove(self, path: str) -> None:
        with contextlib.suppress(StorageError):
            self._disk.unlink(path)

    def _close_growing(self) -> None:
        assert self._growing is not None
        pack, self._growing = self._growing, None
        self._closing.append(self._closer.submit(self._close, pack))

    def _close(self, pack: _GrowingPack) -> FinishedPack:
        try:
            try:
                pack.writeback.settle()
                end = footer_and_trailer(pack.id, pack.entries, pack.offset)
                self._disk.write(pack.fd, [end], pack.path)
                self._disk.sync(pack.fd, pack.path)
            finally:
                self._disk.close(pack.fd, pack.path)
            self._read_back(pack)
            self._shelve(pack)
        except BaseException:
            # A file whose sync failed must not be used again.
            self._remove(pack.path)
            self._remove(self._layout.pack(pack.id))
            raise
        return FinishedPack(pack.id, pack.offset + len(end), tuple(pack.entries))

    def _read_back(self, pack: _GrowingPack) -> None:
        try:
            entries = read_entries(self._disk, pack.path, pack.id)
        except PackCorruptError as error:
            raise StorageError(
                f"a pack did not read back as written ({error}); nothing was published; check the disk"
            ) from None
        if [entry.offset for entry in entries] != [entry.offset for entry in pack.entries]:
            raise StorageError(
                f"pack {pack.path!r} did not read back as written; nothing was published; check the disk"
            )

    def _shelve(self, pack: _GrowingPack) -> None:
        shelf = self._layout.shelf(pack.id)
        self._disk.make_directory(shelf)
        # Also when the shelf was there: whoever made it may not have got to this line.
        self._disk.sync_directory(self._layout.packs)
        self._disk.rename(pack.path, self._layout.pack(pack.id))
        self._disk.sync_directory(shelf)
