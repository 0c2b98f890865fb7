"""The headers of a zip archive and the records that end it, as the specification (APPNOTE 6.3.10) lays them out."""

from __future__ import annotations

import struct
from typing import NamedTuple

LOCAL_MAGIC = b"PK\x03\x04"
CENTRAL_MAGIC = b"PK\x01\x02"
END_MAGIC = b"PK\x05\x06"
END64_MAGIC = b"PK\x06\x06"
LOCATOR64_MAGIC = b"PK\x06\x07"

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR64 = struct.Struct("<4sIQI")
EXTRA = struct.Struct("<2H")

ZIP64_EXTRA = 1
IN_ZIP64_16 = 0xFFFF
IN_ZIP64 = 0xFFFFFFFF
"""A field of 32 bits that holds this stands in the zip64 extra field instead, with 64 bits."""

STORED = 0
ENCRYPTED = 0x0041
"""Bits of the flags: encrypted, strongly encrypted."""

SIZES_FOLLOW = 0x0008
"""Bit of the flags: the local header has zeros, sizes and checksum come after the data. PyTorch writes so."""

UTF8 = 0x0800


class LocalHeader(NamedTuple):
    """What stands before an entry's name and data."""

    magic: bytes
    version: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int
    size: int
    name_length: int
    extra_length: int


class CentralHeader(NamedTuple):
    """What the directory says about an entry, before its name, extra fields and comment."""

    magic: bytes
    made_by: int
    version: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int
    size: int
    name_length: int
    extra_length: int
    comment_length: int
    disk: int
    internal: int
    external: int
    offset: int


def wide_numbers(extra: bytes, count: int) -> tuple[int, ...] | None:
    """The first ``count`` numbers of the zip64 extra field; None when it lacks them."""
    at = 0
    while at + EXTRA.size <= len(extra):
        kind, length = EXTRA.unpack_from(extra, at)
        at += EXTRA.size
        if kind == ZIP64_EXTRA:
            if length < 8 * count or at + length > len(extra):
                return None
            return struct.unpack_from(f"<{count}Q", extra, at)
        at += length
    return None
