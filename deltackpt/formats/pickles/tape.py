"""The bytes of a pickle, read forward, each read checked against the end."""

from __future__ import annotations

from typing import NoReturn

from deltackpt.errors import FormatError
from deltackpt.formats.wording import complaint, excerpt


class PickleCutError(FormatError):
    """The bytes end within the pickle."""


class Tape:
    """A position in ``data``, whose first byte stands at byte ``base`` of ``file``."""

    def __init__(self, data: bytes, base: int, file: str) -> None:
        self.data = data
        self.at = 0
        self._base = base
        self._file = file

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes; the length is compared with what is left before anything is copied."""
        start = self.at
        end = start + length
        if end > len(self.data):
            self.cut(f"{length} bytes")
        self.at = end
        return self.data[start:end]

    def byte(self) -> int:
        """The next byte, as a number."""
        at = self.at
        if at >= len(self.data):
            self.cut("a byte")
        self.at = at + 1
        return self.data[at]

    def number(self, width: int) -> int:
        """An unsigned little-endian integer of ``width`` bytes."""
        return int.from_bytes(self.take(width), "little")

    def counted(self, width: int) -> bytes:
        """Bytes after their length, which has ``width`` bytes itself."""
        return self.take(self.number(width))

    def line(self) -> bytes:
        """Text up to a newline, without it."""
        end = self.data.find(b"\n", self.at)
        if end < 0:
            self.cut("a newline")
        found = self.data[self.at : end]
        self.at = end + 1
        return found

    def cut(self, expected: str) -> NoReturn:
        raise PickleCutError(self.worded("the pickle ends early", self.at, expected, f"{len(self.data) - self.at}"))

    def refuse(
        self, what: str, expected: str, found: str, at: int | None = None, kind: type[FormatError] = FormatError
    ) -> NoReturn:
        """Raise ``kind``. ``at`` counts from the start of the pickle; without it, where the tape stands."""
        raise kind(self.worded(what, self.at if at is None else at, expected, found))

    def worded(self, what: str, at: int, expected: str, found: str) -> str:
        return complaint(self._file, what, self._base + at, expected, found)

    def ahead(self, at: int) -> str:
        return excerpt(self.data, at, "the end of the pickle")
