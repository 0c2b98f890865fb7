"""A file that a library writes to, which appears complete under its name or not at all."""

from __future__ import annotations

import io
from typing import Any

from deltackpt.fs.target import TargetFile


class TargetStream(io.RawIOBase):
    """Python's file protocol on a :class:`TargetFile`: write and seek, no reading."""

    def __init__(self, target: TargetFile) -> None:
        super().__init__()
        self._target = target
        self._at = 0
        self._end = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._target.write_at(self._at, data)
        self._at += size
        self._end = max(self._end, self._at)
        return size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    @property
    def size(self) -> int:
        """Bytes written so far, from the beginning of the file."""
        return self._end
