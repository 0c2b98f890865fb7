"""The small structures of a file, read one after another through a window, so that nothing large is held.

Lengths in a file are lies until they are compared with it: whatever a cursor hands out lies within its bounds.
"""

from __future__ import annotations

import struct
from typing import NoReturn

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint

WINDOW_BYTES = 1 << 18

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class Cursor:
    """A position ``at`` in ``file`` that moves forward from its start, at most to ``limit``."""

    def __init__(self, file: SourceFile, limit: int) -> None:
        self.file = file
        self.at = 0
        self._limit = limit
        self._stop = min(file.size, limit)
        self._window = b""
        self._start = 0

    @property
    def left(self) -> int:
        """Bytes up to the end of the file."""
        return self.file.size - self.at

    def take(self, length: int, what: str) -> bytes:
        """The next ``length`` bytes."""
        at = self.at
        self.skip(length, what)
        first = at - self._start
        if first + length > len(self._window):
            self._window = self.file.read(at, max(length, min(WINDOW_BYTES, self._stop - at)))
            self._start, first = at, 0
        return self._window[first : first + length]

    def skip(self, length: int, what: str) -> None:
        """Move on without reading. FormatError when ``what`` goes on past the file, LimitError past the limit."""
        if length > self._stop - self.at:
            if length > self.left:
                self.refuse(what, f"{length} bytes", f"{self.left} before the end")
            self.refuse(what, f"an end by byte {self._limit}", str(self.at + length), kind=LimitError)
        self.at += length

    def skip_texts(self, count: int, what: str) -> None:
        """Move on past ``count`` texts, each behind its length as a u64."""
        while count:
            count -= self._skip_seen(count)
            if count:
                # Its length is not in the window yet, or it is to be refused.
                self.skip(self.u64(what), what)
                count -= 1

    def _skip_seen(self, most: int) -> int:
        """Move on past texts whose lengths are in the window and that end within bounds; how many those were."""
        window, first, length_at = self._window, self.at - self._start, _U64.unpack_from
        last, stop = len(window) - 8, self._stop - self._start
        passed = 0
        while passed < most and first <= last:
            following = first + 8 + length_at(window, first)[0]
            if following > stop:
                break
            first, passed = following, passed + 1
        self.at = self._start + first
        return passed

    def u32(self, what: str) -> int:
        return int(_U32.unpack(self.take(4, what))[0])

    def u64(self, what: str) -> int:
        return int(_U64.unpack(self.take(8, what))[0])

    def refuse(
        self, what: str, expected: str, found: str, byte: int | None = None, kind: type[FormatError] = FormatError
    ) -> NoReturn:
        """Raise ``kind``, for the cursor's place unless ``byte`` names another."""
        raise kind(complaint(self.file.name, what, self.at if byte is None else byte, expected, found))
