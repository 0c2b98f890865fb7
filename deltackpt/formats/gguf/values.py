"""The keys and values of a GGUF file, read: what a file that is made from it takes over."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deltackpt.errors import LimitError, UnsupportedError
from deltackpt.formats.gguf.codes import ARRAY, SCALAR_BYTES, SCALAR_FORMATS, STRING
from deltackpt.formats.gguf.limits import MAX_HEADER_BYTES, MAX_KEY_BYTES, MAX_TAKEN_ITEMS
from deltackpt.formats.gguf.reader import read_counts
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.window import Cursor
from deltackpt.formats.wording import quoted


@dataclass(frozen=True, slots=True)
class Value:
    """``kind`` is the format's number for the type. Texts are bytes, as they are; arrays are lists.

    ``item_kind`` is the type of what is in an array.
    """

    kind: int
    content: Any
    item_kind: int | None = None


Keys = Mapping[str, Value]
"""Values by their keys, in the order of the file."""


def read_keys(file: SourceFile) -> Keys:
    """All of them. FormatError and its kinds; UnsupportedError for arrays of arrays, which no writer makes."""
    cursor = Cursor(file, MAX_HEADER_BYTES)
    _, count = read_counts(cursor)
    return dict(_entry(cursor) for _ in range(count))


def _entry(cursor: Cursor) -> tuple[str, Value]:
    byte = cursor.at
    raw = _text(cursor, "a key", MAX_KEY_BYTES)
    try:
        key = raw.decode()
    except UnicodeDecodeError:
        cursor.refuse("a key", "UTF-8", quoted(raw.decode(errors="backslashreplace")), byte)
    what = f"key {quoted(key)}"
    kind = cursor.u32(what)
    if kind != ARRAY:
        return key, Value(kind, _items(cursor, kind, 1, what)[0])
    item_kind, byte, count = cursor.u32(what), cursor.at, cursor.u64(what)
    if count > MAX_TAKEN_ITEMS:
        cursor.refuse(what, f"at most {MAX_TAKEN_ITEMS} items", str(count), byte, LimitError)
    return key, Value(kind, _items(cursor, item_kind, count, what), item_kind)


def _items(cursor: Cursor, kind: int, count: int, what: str) -> list[Any]:
    if kind == STRING:
        return [_text(cursor, what, MAX_HEADER_BYTES) for _ in range(count)]
    if kind not in SCALAR_FORMATS:
        expected = "numbers, texts, and arrays of these"
        cursor.refuse(what, expected, f"type {kind}", kind=UnsupportedError)
    raw = cursor.take(count * SCALAR_BYTES[kind], what)
    return list(struct.unpack(f"<{count}{SCALAR_FORMATS[kind]}", raw))


def _text(cursor: Cursor, what: str, limit: int) -> bytes:
    byte = cursor.at
    length = cursor.u64(what)
    if length > limit:
        cursor.refuse(what, f"at most {limit} bytes", str(length), byte, LimitError)
    return cursor.take(length, what)
