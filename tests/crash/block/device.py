"""A disk that writes down every write and flush in the order in which they were done, and fails when it is told to.

It is one file of a FUSE file system, to be set up as a loop device. The process that serves it stands by itself and
touches nothing but the folder it is given, so that it never waits for the file system that lies on its disk:

    python device.py FOLDER MOUNTPOINT

``FOLDER/image`` is the disk as it is at first and goes along with it; ``FOLDER/log`` is what happened. What is written
to ``MOUNTPOINT/told`` goes into the log between the writes, ``MOUNTPOINT/fault`` takes the fault that strikes from then
on, ``MOUNTPOINT/bad`` a place that cannot be read any more.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import mfusepy
from device_log import FLUSHED, TOLD, WRITTEN, entry
from faulty import Fault


class RecordingDevice(mfusepy.Operations):  # type: ignore[misc]
    """The disk, what is told about it, and the fault that waits for it."""

    use_ns = True

    def __init__(self, folder: Path) -> None:
        self._image = os.open(folder / "image", os.O_RDWR)
        self._log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._fault: Fault | None = None
        self._calls: Counter[str] = Counter()
        self._bad = range(0)

    def getattr(self, path: str, fh: Any = None) -> dict[str, int]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path not in ("/disk", "/told", "/fault", "/bad"):
            raise FileNotFoundError(2, path)
        size = os.fstat(self._image).st_size if path == "/disk" else 0
        return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": size}

    def open(self, path: str, fi: Any) -> int:
        # Past the cache of pages, so that each read and each write is seen.
        fi.direct_io = 1
        return 0

    def truncate(self, path: str, length: int, fh: Any = None) -> int:
        return 0

    def read(self, path: str, size: int, offset: int, fi: Any) -> bytes:
        self._strike("read")
        if max(offset, self._bad.start) < min(offset + size, self._bad.stop):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return os.pread(self._image, size, offset)

    def write(self, path: str, data: bytes, offset: int, fi: Any) -> int:
        match path:
            case "/told":
                self._note(TOLD, 0, data)
            case "/fault":
                self._fault = Fault(**json.loads(data))
                self._calls.clear()
            case "/bad":
                self._bad = range(*json.loads(data))
            case _:
                self._strike("write")
                if offset <= self._bad.start and self._bad.stop <= offset + len(data):
                    # A drive takes other sectors for those that it could not read.
                    self._bad = range(0)
                os.pwrite(self._image, data, offset)
                self._note(WRITTEN, offset, data)
        return len(data)

    def fsync(self, path: str, datasync: int, fi: Any) -> int:
        if path == "/disk":
            self._strike("flush")
            self._note(FLUSHED, 0, b"")
        return 0

    def _strike(self, call: str) -> None:
        self._calls[call] += 1
        if self._fault is not None and self._fault.strikes(call, self._calls[call]):
            raise OSError(self._fault.code, os.strerror(self._fault.code))

    def _note(self, kind: int, offset: int, data: bytes) -> None:
        os.write(self._log, entry(kind, offset, data))


if __name__ == "__main__":
    mfusepy.FUSE(RecordingDevice(Path(sys.argv[1])), sys.argv[2], foreground=True, nothreads=True, raw_fi=True)
