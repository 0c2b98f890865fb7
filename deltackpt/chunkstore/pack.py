"""Packs: immutable, self-describing files of records.

    header    magic 8, pack id 16, xxh3-64 of both
    records   one after another, see record.py
    footer    for each record: offset u64, then its head, members and bases as in the record
    trailer   footer offset u64, footer length u64, record count u64, xxh3-64 of footer and these three,
              pack id 16, magic 8

The footer repeats the heads, so the index is filled without reading payloads; the records repeat the
footer, so a pack that lost its end can still be walked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import xxhash

from deltackpt.chunkstore.record import HEAD_SIZE, RecordHead, parse_head
from deltackpt.errors import CorruptError, UnsupportedError
from deltackpt.fs.disk import Disk
from deltackpt.ids import PackId

HEADER_MAGIC = b"DCKPACK\x00"
VERSION = 0
TRAILER_MAGIC = b"DCKPEND" + bytes([VERSION])
_HEADER = struct.Struct("<8s16sQ")
_TRAILER = struct.Struct("<QQQQ16s8s")
_OFFSET = struct.Struct("<Q")
HEADER_SIZE = _HEADER.size
TRAILER_SIZE = _TRAILER.size
OFFSET_SIZE = _OFFSET.size
TARGET_PACK_BYTES = 64 << 20
MAX_FOOTER_BYTES = 1 << 28


class PackCorruptError(CorruptError):
    """A pack's header, footer or trailer is damaged or the file is cut short."""


@dataclass(frozen=True, slots=True)
class PackEntry:
    """Where a record lies in its pack."""

    offset: int
    head: RecordHead


def header(pack: PackId) -> bytes:
    return _HEADER.pack(HEADER_MAGIC, pack, xxhash.xxh3_64_intdigest(HEADER_MAGIC + pack))


def footer_of(entries: Sequence[PackEntry]) -> bytes:
    return b"".join(_OFFSET.pack(entry.offset) + entry.head.pack(0) for entry in entries)


def footer_and_trailer(pack: PackId, entries: list[PackEntry], offset: int) -> bytes:
    """The end of a pack whose records stop at ``offset``."""
    footer = footer_of(entries)
    counts = struct.pack("<QQQ", offset, len(footer), len(entries))
    return footer + _TRAILER.pack(offset, len(footer), len(entries), _checksum(footer, counts), pack, TRAILER_MAGIC)


def read_entries(disk: Disk, path: str, pack: PackId) -> list[PackEntry]:
    """What a pack holds, from its footer; PackCorruptError when any of its frame is damaged.

    ``FileNotFoundError`` when there is no such file.
    """
    footer, count = read_footer(disk, path, pack)
    return list(parse_footer(footer, count, pack))


def read_footer(disk: Disk, path: str, pack: PackId) -> tuple[bytes, int]:
    """A pack's footer, whose checksum is right, and how many records it names. Errors as of :func:`read_entries`."""
    fd = disk.open(path)
    try:
        size = disk.size(path)
        if disk.read_at(fd, 0, HEADER_SIZE, path) != header(pack) or size < HEADER_SIZE + TRAILER_SIZE:
            raise PackCorruptError(
                f"pack {pack.short} ({path}): header is damaged or of another pack; run `deltackpt verify`"
            )
        return _footer(disk, fd, path, pack, size)
    finally:
        disk.close(fd, path)


def _footer(disk: Disk, fd: int, path: str, pack: PackId, size: int) -> tuple[bytes, int]:
    trailer = disk.read_at(fd, size - TRAILER_SIZE, TRAILER_SIZE, path)
    offset, length, count, checksum, name, magic = _TRAILER.unpack(trailer)
    placed = name == pack and offset + length + TRAILER_SIZE == size and length <= MAX_FOOTER_BYTES
    footer = disk.read_at(fd, offset, length, path) if placed else b""
    sound = placed and _checksum(footer, trailer[:24]) == checksum
    if magic[:7] == TRAILER_MAGIC[:7] and magic != TRAILER_MAGIC and not sound:
        raise UnsupportedError(f"pack {pack.short} ({path}) is of a newer format; upgrade deltackpt")
    if magic != TRAILER_MAGIC or not placed:
        raise PackCorruptError(
            f"pack {pack.short} ({path}): trailer at byte {size - TRAILER_SIZE} is damaged; run `deltackpt verify`"
        )
    if not sound:
        raise PackCorruptError(
            f"pack {pack.short} ({path}): footer at byte {offset} is damaged; run `deltackpt verify`"
        )
    return footer, count


def _checksum(footer: bytes, counts: bytes) -> int:
    """Seeded with the version, so that a damaged version is told from a newer one: under it, nothing else is wrong."""
    return xxhash.xxh3_64_intdigest(footer + counts, seed=VERSION)


def parse_footer(footer: bytes, count: int, pack: PackId) -> Iterator[PackEntry]:
    """The records that a footer names; PackCorruptError or RecordCorruptError when they cannot be."""
    view = memoryview(footer)
    at = 0
    for number in range(count):
        if at + 8 + HEAD_SIZE > len(view):
            raise PackCorruptError(f"pack {pack.short}: footer ends before record {number}; run `deltackpt verify`")
        (offset,) = _OFFSET.unpack_from(view, at)
        head = parse_head(view[at + 8 :], f"pack {pack.short} footer byte {at}")
        yield PackEntry(offset, head)
        at += 8 + head.size
    if at != len(view):
        raise PackCorruptError(f"pack {pack.short}: footer names {count} records but goes on; run `deltackpt verify`")
