"""Tables in LevelDB's format, and TensorFlow's indexes in them, written by hand so that they can lie."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import google_crc32c
from protobuf_bytes import block as delimited
from protobuf_bytes import number, varint

MAGIC = bytes.fromhex("57fb808b247547db")

Pair = tuple[bytes, bytes]


def entry(fresh: bytes, value: bytes, shared: int = 0, length: int | None = None) -> bytes:
    return varint(shared) + varint(len(fresh)) + varint(len(value) if length is None else length) + fresh + value


def block(entries: bytes, restarts: Sequence[int] = (0,), count: int | None = None) -> bytes:
    return (
        entries
        + struct.pack(f"<{len(restarts)}I", *restarts)
        + struct.pack("<I", len(restarts) if count is None else count)
    )


def sealed(content: bytes, kind: int = 0, crc: int | None = None) -> bytes:
    """A block with its trailer."""
    value: int = google_crc32c.value(content + bytes([kind]))
    masked = ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return content + bytes([kind]) + struct.pack("<I", masked if crc is None else crc)


def handle(offset: int, size: int) -> bytes:
    return varint(offset) + varint(size)


def footer(index: bytes, magic: bytes = MAGIC) -> bytes:
    return (handle(0, 0) + index).ljust(40, b"\0") + magic


def table(*blocks: bytes, pointers: Sequence[bytes] | None = None) -> bytes:
    """A file of sealed data ``blocks``; ``pointers`` are lies about where they are."""
    places, at = [], 0
    for one in blocks:
        places.append(handle(at, len(one) - 5))
        at += len(one)
    entries = b"".join(entry(b"k%d" % i, place) for i, place in enumerate(places if pointers is None else pointers))
    index = block(entries, (0,))
    return b"".join(blocks) + sealed(index) + footer(handle(at, len(index)))


HEADER = (b"", number(1, 1) + delimited(3, number(1, 1)))


def shape(*extents: int) -> bytes:
    return delimited(2, b"".join(delimited(2, number(1, extent)) for extent in extents))


def tensor(offset: int = 0, size: int = 8, dims: bytes = shape(2), dtype: int = 1, shard: int = 0) -> bytes:
    """The value of a tensor; without anything else, two float32 at the start of the first shard."""
    return number(1, dtype) + dims + number(3, shard) + number(4, offset) + number(5, size)


def pairs(*given: Pair) -> bytes:
    """A data block of keys that share nothing."""
    return block(b"".join(entry(key, value) for key, value in given))


def index(*given: Pair) -> bytes:
    """A file with one data block: a good header, then ``given``."""
    return table(sealed(pairs(HEADER, *given)))
