"""Messages of Protocol Buffers, read field by field from a file: where each value stands, without building any.

Nothing is known here of a message's type; the caller enters those fields that it knows to be messages. Groups, which
newer versions of the language no longer have, are refused.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple, NoReturn

from deltackpt.errors import FormatError, LimitError, UnsupportedError
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5

MAX_VARINT_BYTES = 10
_GROUPS = (3, 4)
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
_WINDOW_BYTES = 1 << 16
_HEAD_BYTES = 2 * MAX_VARINT_BYTES
_MASK = (1 << 64) - 1

_Bare = tuple[int, int, int, int, int]
"""A field without its byte: number, wire, start, stop, value."""


class Field(NamedTuple):
    """A field whose tag stands at ``byte``. Its payload is bytes ``start`` to ``stop``; a varint has its ``value``."""

    number: int
    wire: int
    byte: int
    start: int
    stop: int
    value: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def varint(data: bytes, at: int) -> tuple[int, int] | None:
    """The unsigned number at ``at`` and where it ends; None when it has no end within ten bytes, or within ``data``."""
    value = shift = 0
    for end, byte in enumerate(data[at : at + MAX_VARINT_BYTES], at + 1):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK, end
        shift += 7
    return None


def signed(value: int) -> int:
    """A varint of an int64 or int32 field, which is stored in two's complement of 64 bits."""
    return value - (1 << 64) if value >> 63 else value


class Wire:
    """A reader over ``file``, of at most ``max_fields`` fields in all, which bounds its time. For one thread."""

    def __init__(self, file: SourceFile, max_fields: int) -> None:
        self.file = file
        self._left = self._max_fields = max_fields
        self._window = b""
        self._start = 0

    def fields(self, start: int, stop: int, what: str, wanted: Container[int]) -> Iterator[Field]:
        """Those fields of the message ``what``, bytes ``start`` to ``stop``, whose numbers are ``wanted``.

        All are checked to lie within the message.
        """
        at = start
        while at < stop:
            number, wire, begin, end, value = self._short_field(at) or self._field(at, what)
            self._left -= 1
            if self._left < 0:
                self.refuse(what, f"at most {self._max_fields} fields in the file", "one more", at, LimitError)
            if end > stop:
                self.refuse(what, f"field {number} within its {stop - at} bytes", f"{end - at} bytes", at)
            if number in wanted:
                yield Field(number, wire, at, begin, end, value)
            at = end

    def content(self, field: Field, limit: int, what: str) -> bytes:
        """The bytes of a field; LimitError when there are more than ``limit``."""
        if field.wire != DELIMITED:
            self.refuse(what, "bytes", f"wire type {field.wire}", field.byte)
        if field.length > limit:
            self.refuse(what, f"at most {limit} bytes", str(field.length), field.byte, LimitError)
        first = self._ahead(field.start, field.length)
        return self._window[first : first + field.length]

    def text(self, field: Field, limit: int, what: str) -> str:
        """The same, as text."""
        raw = self.content(field, limit, what)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            self.refuse(what, "UTF-8", repr(raw[error.start : error.end]), field.start + error.start)

    def numbers(self, field: Field, limit: int, what: str) -> list[int]:
        """A repeated number: one, or several packed. LimitError when it may be more than ``limit``."""
        if field.wire == VARINT:
            return [field.value]
        raw, at, found = self.content(field, limit * MAX_VARINT_BYTES, what), 0, []
        while at < len(raw):
            one = varint(raw, at)
            if one is None:
                self.refuse(what, "a number", "its bytes without an end", field.start + at)
            found.append(one[0])
            at = one[1]
        return found

    def refuse(
        self, what: str, expected: str, found: str, byte: int, kind: type[FormatError] = FormatError
    ) -> NoReturn:
        raise kind(complaint(self.file.name, what, byte, expected, found))

    def _short_field(self, at: int) -> _Bare | None:
        """The field at ``at`` when its tag and its number or length take a byte each, as those of most fields do."""
        first, window = at - self._start, self._window
        if not 0 <= first < len(window) - 1:
            return None
        tag, value = window[first], window[first + 1]
        if value > 0x7F or tag > 0x7F or tag < 8:
            return None
        if tag & 7 == DELIMITED:
            return tag >> 3, DELIMITED, at + 2, at + 2 + value, 0
        return (tag >> 3, VARINT, at + 1, at + 2, value) if tag & 7 == VARINT else None

    def _field(self, at: int, what: str) -> _Bare:
        """The field at ``at``, wherever it may end."""
        first = self._ahead(at, min(_HEAD_BYTES, self.file.size - at))
        tag, end = self._varint(first, at, what)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            self.refuse(what, "a field number", "0", at)
        value, start = 0, at + end - first
        if wire == VARINT:
            value, end = self._varint(end, start, what)
            stop = at + end - first
        elif wire == DELIMITED:
            length, end = self._varint(end, start, what)
            start = at + end - first
            stop = start + length
        elif wire in _FIXED_BYTES:
            stop = start + _FIXED_BYTES[wire]
        else:
            kind = UnsupportedError if wire in _GROUPS else FormatError
            self.refuse(what, "wire type 0, 1, 2 or 5", str(wire), at, kind)
        return number, wire, start, stop, value

    def _varint(self, first: int, byte: int, what: str) -> tuple[int, int]:
        """The number at ``first`` of the window, which is ``byte`` of the file, and where in the window it ends."""
        window = self._window
        if first < len(window) and window[first] < 0x80:
            return window[first], first + 1
        found = varint(window, first)
        if found is None:
            self.refuse(what, "a number", "its bytes without an end", byte)
        return found

    def _ahead(self, at: int, length: int) -> int:
        """Where in the window byte ``at`` stands, the ``length`` bytes from there on being in it."""
        first = at - self._start
        if first < 0 or first + length > len(self._window):
            self._window = self.file.read(at, max(length, min(_WINDOW_BYTES, self.file.size - at)))
            self._start, first = at, 0
        return first
