"""How a recording device writes down what happened to it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

WRITTEN, FLUSHED, TOLD = range(3)

_HEAD = struct.Struct("<BQI")
"""What it was, the offset in bytes, the length of the bytes that follow."""


def entry(kind: int, offset: int, data: bytes) -> bytes:
    return _HEAD.pack(kind, offset, len(data)) + data


def entries(log: bytes) -> Iterator[tuple[int, int, bytes]]:
    """What a log tells, in order: the kind, the offset, the bytes."""
    at = 0
    while at < len(log):
        kind, offset, length = _HEAD.unpack_from(log, at)
        at += _HEAD.size + length
        yield kind, offset, log[at - length : at]
