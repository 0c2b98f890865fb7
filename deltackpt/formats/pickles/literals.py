"""The opcodes that push one plain value, read from the bytes that follow them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from deltackpt.errors import LimitError
from deltackpt.formats.pickles.limits import MAX_INTEGER_BYTES
from deltackpt.formats.pickles.nodes import Dict, Node, Set
from deltackpt.formats.pickles.tape import Tape
from deltackpt.formats.wording import excerpt

_DOUBLE = struct.Struct(">d")
# What ``repr`` of Python 2 wrote. Other escapes stay as they are; Python's own decoder would warn of them.
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|[\\'\"abfnrtv])")
_ESCAPED = dict(zip((b"\\", b"'", b'"', b"a", b"b", b"f", b"n", b"r", b"t", b"v"), b"\\'\"\a\b\f\n\r\t\v", strict=True))
_BOOLEANS = {b"00": False, b"01": True}


def _signed(tape: Tape) -> int:
    return int.from_bytes(tape.take(4), "little", signed=True)


def _long(width: int) -> Callable[[Tape], int]:
    def read(tape: Tape) -> int:
        start = tape.at
        length = tape.number(width)
        if length > MAX_INTEGER_BYTES:
            tape.refuse("an integer", f"at most {MAX_INTEGER_BYTES} bytes", str(length), start, LimitError)
        return int.from_bytes(tape.take(length), "little", signed=True)

    return read


def _decimal(tape: Tape, text: bytes, start: int) -> int:
    # Python refuses to convert more than a few thousand digits, because the time grows with their square.
    if len(text) > MAX_INTEGER_BYTES:
        tape.refuse("an integer", f"at most {MAX_INTEGER_BYTES} digits", str(len(text)), start, LimitError)
    try:
        return int(text)
    except ValueError:
        tape.refuse("an integer", "decimal digits", excerpt(text, 0, "nothing"), start)


def _integer_line(tape: Tape) -> int | bool:
    start = tape.at
    text = tape.line()
    return _BOOLEANS[text] if text in _BOOLEANS else _decimal(tape, text, start)


def _long_line(tape: Tape) -> int:
    start = tape.at
    return _decimal(tape, tape.line().removesuffix(b"L"), start)


def _float_line(tape: Tape) -> float:
    start = tape.at
    text = tape.line()
    try:
        return float(text)
    except ValueError:
        tape.refuse("a number", "decimal digits", excerpt(text, 0, "nothing"), start)


def _double(tape: Tape) -> float:
    number: float = _DOUBLE.unpack(tape.take(8))[0]
    return number


def _text(width: int) -> Callable[[Tape], str]:
    def read(tape: Tape) -> str:
        start = tape.at
        raw = tape.counted(width)
        try:
            return raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            tape.refuse("a string", "UTF-8", repr(raw[error.start : error.end]), start + width + error.start)

    return read


def _bytes(width: int) -> Callable[[Tape], bytes]:
    return lambda tape: tape.counted(width)


def _bytearray(tape: Tape) -> bytearray:
    return bytearray(tape.counted(8))


def _string_of_python_2(raw: bytes) -> str | bytes:
    """A ``str`` of Python 2, which is text or bytes: nothing tells which but the bytes themselves."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _old_text(width: int) -> Callable[[Tape], str | bytes]:
    return lambda tape: _string_of_python_2(tape.counted(width))


def _quoted_line(tape: Tape) -> str | bytes:
    start = tape.at
    text = tape.line()
    if len(text) < 2 or text[:1] not in b"'\"" or text[:1] != text[-1:]:
        tape.refuse("a string", "text in quotes", excerpt(text, 0, "nothing"), start)
    return _string_of_python_2(_ESCAPE.sub(_unescaped, text[1:-1]))


def _unescaped(escape: re.Match[bytes]) -> bytes:
    word = escape.group(1)
    if word[:1] == b"x":
        return bytes([int(word[1:], 16)])
    return bytes([_ESCAPED[word] if word in _ESCAPED else int(word, 8) & 0xFF])


def _escaped_line(tape: Tape) -> str:
    start = tape.at
    text = tape.line()
    try:
        return text.decode("raw-unicode-escape")
    except UnicodeDecodeError:
        tape.refuse("a string", "escapes of Unicode", excerpt(text, 0, "nothing"), start)


LITERALS: dict[int, Callable[[Tape], Node]] = {
    ord("N"): lambda tape: None,
    0x88: lambda tape: True,
    0x89: lambda tape: False,
    ord("I"): _integer_line,
    ord("L"): _long_line,
    ord("F"): _float_line,
    ord("J"): _signed,
    ord("K"): Tape.byte,
    ord("M"): lambda tape: tape.number(2),
    0x8A: _long(1),
    0x8B: _long(4),
    ord("G"): _double,
    ord("S"): _quoted_line,
    ord("T"): _old_text(4),
    ord("U"): _old_text(1),
    ord("V"): _escaped_line,
    ord("X"): _text(4),
    0x8C: _text(1),
    0x8D: _text(8),
    ord("B"): _bytes(4),
    ord("C"): _bytes(1),
    0x8E: _bytes(8),
    0x96: _bytearray,
    ord("]"): lambda tape: [],
    ord(")"): lambda tape: (),
    ord("}"): lambda tape: Dict("dict", []),
    0x8F: lambda tape: Set([], frozen=False),
}
