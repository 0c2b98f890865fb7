"""The keys and values of a GGUF file, stepped over: only the alignment of the tensors is of interest."""

from __future__ import annotations

from dataclasses import dataclass, field

from deltackpt.errors import LimitError, UnsupportedError
from deltackpt.formats.gguf.codes import ARRAY, SCALAR_BYTES, STRING, UINT32
from deltackpt.formats.gguf.limits import MAX_ALIGNMENT, MAX_ARRAY_DEPTH, MAX_KEY_BYTES, MAX_STRINGS
from deltackpt.formats.window import Cursor
from deltackpt.formats.wording import quoted

ALIGNMENT_KEY = b"general.alignment"
DEFAULT_ALIGNMENT = 32

_STRING_LENGTH = 8
_ARRAY_HEAD = 12


@dataclass(slots=True)
class _Walk:
    """A walk over the values; ``key`` is the one whose value is being read, ``strings`` counts those in arrays."""

    cursor: Cursor
    key: str = ""
    strings: int = 0
    seen: set[bytes] = field(default_factory=set)


def read_alignment(cursor: Cursor, count: int) -> int:
    """Step over ``count`` keys with their values; what they say of the alignment of tensors, in bytes."""
    walk = _Walk(cursor)
    alignment = DEFAULT_ALIGNMENT
    for _ in range(count):
        key = _key(walk)
        kind = cursor.u32(f"the type of {walk.key}")
        if key == ALIGNMENT_KEY:
            alignment = _alignment(walk, kind)
        else:
            _skip_value(walk, kind)
    return alignment


def _key(walk: _Walk) -> bytes:
    cursor, byte = walk.cursor, walk.cursor.at
    length = cursor.u64("a key's length")
    if length > MAX_KEY_BYTES:
        cursor.refuse("a key's length", f"at most {MAX_KEY_BYTES}", str(length), byte, LimitError)
    key = cursor.take(length, "a key")
    walk.key = f"key {quoted(key.decode(errors='backslashreplace'))}"
    if key in walk.seen:
        cursor.refuse("the keys", "each key once", f"{walk.key} again", byte)
    walk.seen.add(key)
    return key


def _alignment(walk: _Walk, kind: int) -> int:
    cursor = walk.cursor
    if kind != UINT32:
        cursor.refuse(f"the type of {walk.key}", f"{UINT32} (uint32)", str(kind), cursor.at - 4)
    alignment = cursor.u32(walk.key)
    if alignment.bit_count() != 1:
        cursor.refuse(walk.key, "a power of two", str(alignment), cursor.at - 4)
    if alignment > MAX_ALIGNMENT:
        cursor.refuse(walk.key, f"at most {MAX_ALIGNMENT}", str(alignment), cursor.at - 4, LimitError)
    return alignment


def _skip_value(walk: _Walk, kind: int) -> None:
    cursor = walk.cursor
    if kind == ARRAY:
        _skip_array(walk, depth=1)
    elif kind == STRING:
        cursor.skip(cursor.u64(walk.key), walk.key)
    else:
        cursor.skip(_scalar_bytes(walk, kind), walk.key)


def _skip_array(walk: _Walk, depth: int) -> None:
    """An array, from the type of its items on. Arrays within it recurse, down to the stated depth."""
    cursor = walk.cursor
    if depth > MAX_ARRAY_DEPTH:
        cursor.refuse(walk.key, f"arrays at most {MAX_ARRAY_DEPTH} deep", "one more within", kind=LimitError)
    kind = cursor.u32(walk.key)
    count = cursor.u64(walk.key)
    least = {STRING: _STRING_LENGTH, ARRAY: _ARRAY_HEAD}.get(kind) or _scalar_bytes(walk, kind)
    if count * least > cursor.left:
        expected = f"at most {cursor.left // least} items, for which there is room"
        cursor.refuse(walk.key, expected, str(count), cursor.at - 8)
    if kind == STRING:
        _count_steps(walk, count)
        cursor.skip_texts(count, walk.key)
    elif kind == ARRAY:
        _count_steps(walk, count)
        for _ in range(count):
            _skip_array(walk, depth + 1)
    else:
        cursor.skip(count * least, walk.key)


def _count_steps(walk: _Walk, count: int) -> None:
    walk.strings += count
    if walk.strings > MAX_STRINGS:
        found = f"{walk.strings} up to here"
        walk.cursor.refuse(walk.key, f"at most {MAX_STRINGS} texts in arrays", found, kind=LimitError)


def _scalar_bytes(walk: _Walk, kind: int) -> int:
    size = SCALAR_BYTES.get(kind)
    if size is None:
        walk.cursor.refuse(f"the type of {walk.key}", "0 to 12", str(kind), walk.cursor.at - 4, UnsupportedError)
    return size
