"""Open pack and log files for reading records out of them, a bounded number at a time."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict

from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.location import Location, inline_record
from deltackpt.errors import StorageError
from deltackpt.fs.disk import Disk
from deltackpt.ids import PackId

MAX_OPEN_FILES = 64


def pack_path(layout: Layout, pack: PackId) -> str:
    """The file of a pack, or of the log record whose inline bytes it stands for."""
    inline = inline_record(pack)
    return layout.pack(pack) if inline is None else layout.record(inline.epoch, inline.number)


class PackFiles:
    """Reads records by location; safe to use from several threads.

    Reads are ``pread`` into fresh buffers, never mmap: an I/O error is then an exception, not a signal.
    """

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk = disk
        self._layout = layout
        self._open: OrderedDict[str, _OpenFile] = OrderedDict()
        self._lock = threading.Lock()
        # How many files were let go of because others had taken their place.
        self.replaced = 0

    def read(self, location: Location, length: int | None = None) -> bytes:
        """The record at ``location``, or its first ``length`` bytes.

        ``FileNotFoundError`` when its file is gone, fewer bytes when that is cut short.
        """
        path = self.path(location)
        file = self._acquire(path)
        try:
            return self._disk.read_at(file.fd, location.offset, length or location.stored_length, path)
        finally:
            self._release(file)

    def path(self, location: Location) -> str:
        return pack_path(self._layout, location.pack)

    def close(self) -> None:
        """Close the files that nobody is reading from; the others close when their readers are done."""
        with self._lock:
            for path in list(self._open):
                self._evict(path)

    def drop_replaced(self) -> int:
        """Let go of files in whose place a repair has put others, which takes a look at each open file.

        Returns how many of them there were so far, whichever thread found them.
        """
        with self._lock:
            replaced = [path for path, file in self._open.items() if not self._disk.is_at(file.fd, path)]
            for path in replaced:
                self._evict(path)
            self.replaced += len(replaced)
            return self.replaced

    def _evict(self, path: str) -> None:
        file = self._open.pop(path)
        file.evicted = True
        self._close_if_idle(file)

    def _acquire(self, path: str) -> _OpenFile:
        with self._lock:
            file = self._open.get(path)
            if file is None:
                file = self._open[path] = _OpenFile(self._disk.open(path), path)
                if len(self._open) > MAX_OPEN_FILES:
                    self._evict(next(iter(self._open)))
            self._open.move_to_end(path)
            file.readers += 1
            return file

    def _release(self, file: _OpenFile) -> None:
        with self._lock:
            file.readers -= 1
            self._close_if_idle(file)

    def _close_if_idle(self, file: _OpenFile) -> None:
        if file.evicted and not file.readers:
            # Nothing is lost with a file that was only read.
            with contextlib.suppress(StorageError):
                self._disk.close(file.fd, file.path)


class _OpenFile:
    """An open file, how many threads read from it now, and whether it has been dropped from the table."""

    __slots__ = ("evicted", "fd", "path", "readers")

    def __init__(self, fd: int, path: str) -> None:
        self.fd = fd
        self.path = path
        self.readers = 0
        self.evicted = False
