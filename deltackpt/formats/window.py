"""The small structures of a file, read one after another through a window, so that nothing large is held.

Lengths in a file are lies until they are compared with it: whatever a cursor hands out lies within its bounds.
"""

from __future__ import annotations

import struct
from typing import NoReturn

from deltackpt.errors import FormatError
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint

WINDOW_BYTES = 1 << 18

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class Cursor:
    """A position ``at`` in ``file`` that moves forward to ``stop``, where the file or its structure ends."""

    def __init__(self, file: SourceFile, at: int = 0, stop: int | None = None) -> None:
        self.file = file
        self.at = at
        self.stop = file.size if stop is None else stop
        self._window = b""
        self._start = at

    @property
    def left(self) -> int:
        return self.stop - self.at

    def take(self, length: int, what: str) -> bytes:
        """The next ``length`` bytes; FormatError when ``what`` goes on past ``stop``."""
        at = self.at
        self.skip(length, what)
        first = at - self._start
        if first + length > len(self._window):
            self._window = self.file.read(at, max(length, min(WINDOW_BYTES, self.stop - at)))
            self._start, first = at, 0
        return self._window[first : first + length]

    def skip(self, length: int, what: str) -> None:
        """Move on without reading."""
        if length > self.stop - self.at:
            self.refuse(what, f"{length} bytes", f"{self.left} before the end")
        self.at += length

    def u32(self, what: str) -> int:
        return int(_U32.unpack(self.take(4, what))[0])

    def u64(self, what: str) -> int:
        return int(_U64.unpack(self.take(8, what))[0])

    def refuse(
        self, what: str, expected: str, found: str, byte: int | None = None, kind: type[FormatError] = FormatError
    ) -> NoReturn:
        """Raise ``kind``, for the cursor's place unless ``byte`` names another."""
        raise kind(complaint(self.file.name, what, self.at if byte is None else byte, expected, found))
