"""Atom by atom through a skeleton. Every method takes what it asks for or raises FormatError; nothing is trusted."""

from __future__ import annotations

from typing import NoReturn

import msgspec

from deltackpt.errors import FormatError

_decode = msgspec.msgpack.Decoder(tuple[list[bool | int | float | str | None], list[bytes]]).decode
_encode = msgspec.msgpack.Encoder().encode


class Cursor:
    """Reads atoms and byte strings in order. ``part`` is named in errors."""

    def __init__(self, raw: bytes | memoryview, part: str) -> None:
        self.part = part
        try:
            self._atoms, self._blobs = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.fail(f"not readable ({error})")
        if _encode((self._atoms, self._blobs)) != raw:
            self.fail("not written in the one way in which it is stored")
        self._at = 0
        self._blob_at = 0

    def fail(self, what: str) -> NoReturn:
        raise FormatError(f"skeleton of part {self.part!r}: {what}; run deltackpt verify")

    def atom(self) -> bool | int | float | str | None:
        at = self._at
        if at >= len(self._atoms):
            self.fail("ends in the middle of a node")
        self._at = at + 1
        return self._atoms[at]

    def integer(self) -> int:
        """An integer of either sign."""
        atom = self.atom()
        if type(atom) is not int:
            self.fail(f"atom {self._at - 1} is {atom!r:.40}, expected an integer")
        return atom

    def natural(self) -> int:
        """An integer that is not negative."""
        value = self.integer()
        if value < 0:
            self.fail(f"atom {self._at - 1} is {value}, expected a count or an offset")
        return value

    def count(self) -> int:
        """How many things follow. Each takes an atom at least, so a larger count than there are atoms is refused."""
        value = self.natural()
        if value > len(self._atoms) - self._at:
            self.fail(f"atom {self._at - 1} announces {value} items, {len(self._atoms) - self._at} atoms are left")
        return value

    def number(self) -> float:
        atom = self.atom()
        if type(atom) is not float:
            self.fail(f"atom {self._at - 1} is {atom!r:.40}, expected a float")
        return atom

    def text(self) -> str:
        atom = self.atom()
        if type(atom) is not str:
            self.fail(f"atom {self._at - 1} is {atom!r:.40}, expected a string")
        return atom

    def integers(self, count: int) -> list[int]:
        """A run of ``count`` integers, which ``count()`` has bounded."""
        start, self._at = self._at, self._at + count
        found = self._atoms[start : self._at]
        if len(found) != count or not set(map(type, found)) <= {int}:
            self.fail(f"atoms {start} to {start + count} are not all integers")
        return found  # type: ignore[return-value]

    def naturals(self) -> tuple[int, ...]:
        """A counted run of integers that are not negative."""
        found = self.integers(self.count())
        if found and min(found) < 0:
            self.fail(f"a negative extent before atom {self._at}")
        return tuple(found)

    def blob(self) -> bytes:
        if self._blob_at >= len(self._blobs):
            self.fail("a node refers to a byte string that is not there")
        self._blob_at += 1
        return self._blobs[self._blob_at - 1]

    def peek(self) -> bool | int | float | str | None:
        """The next atom, left where it is."""
        atom = self.atom()
        self._at -= 1
        return atom

    def finish(self) -> None:
        """Everything must have been used."""
        if self._at != len(self._atoms) or self._blob_at != len(self._blobs):
            self.fail(
                f"{len(self._atoms) - self._at} atoms and {len(self._blobs) - self._blob_at} byte strings too many"
            )
