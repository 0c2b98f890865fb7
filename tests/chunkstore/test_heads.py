"""Heads as columns say what they say as objects, and what is wrong with them is told in the same words."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash

from deltackpt.chunkstore.applying import inline_entries
from deltackpt.chunkstore.heads import Heads, head_sizes, inline_heads, read_heads, stored_lengths
from deltackpt.chunkstore.log_record import LogRecord, Published
from deltackpt.chunkstore.pack import (
    HEADER_SIZE,
    TRAILER_MAGIC,
    TRAILER_SIZE,
    PackEntry,
    footer_and_trailer,
    header,
    read_entries,
)
from deltackpt.chunkstore.record import Kind, Member, RecordHead, seal
from deltackpt.errors import CorruptError
from deltackpt.fs.disk import Disk
from deltackpt.ids import ChunkId, EpochId, PackId

PACK = PackId(bytes(range(16)))


def some_head(chance: random.Random) -> RecordHead:
    count = chance.choice([1, 1, 1, 2, 40])
    rank = chance.choice([0, 0, 1, 64])
    members = tuple(Member(ChunkId(chance.randbytes(32)), chance.randrange(1 << 16)) for _ in range(count))
    bases = tuple(ChunkId(chance.randbytes(32)) for _ in range(count if rank else 0))
    cost = chance.randrange(1 << 10) / 8
    return RecordHead(chance.choice(list(Kind)), 3, 5, rank, cost, chance.randrange(50), members, bases)


def some_entries(chance: random.Random, count: int) -> list[PackEntry]:
    entries, at = [], HEADER_SIZE
    for head in (some_head(chance) for _ in range(count)):
        entries.append(PackEntry(at, head))
        at += head.stored_length
    return entries


def write_pack(path: Path, entries: list[PackEntry]) -> None:
    records = b"".join(bytes(piece) for e in entries for piece in seal(e.head, [bytes(e.head.payload_length)]))
    end = HEADER_SIZE + len(records)
    path.write_bytes(header(PACK) + records + footer_and_trailer(PACK, entries, end))


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_a_pack_says_the_same_as_columns_and_as_objects(tmp_path: Path, count: int) -> None:
    entries = some_entries(random.Random(count), count)
    write_pack(tmp_path / "pack", entries)
    heads = read_heads(Disk(), str(tmp_path / "pack"), PACK)
    assert heads.entries() == entries == read_entries(Disk(), str(tmp_path / "pack"), PACK)
    assert head_sizes(heads.fields).tolist() == [entry.head.size for entry in entries]
    assert stored_lengths(heads.fields).tolist() == [entry.head.stored_length for entry in entries]
    assert Heads.of(entries).entries() == entries
    assert Heads.joined([heads, heads]).entries() == entries * 2


def test_so_do_the_inline_bytes_of_a_log_record() -> None:
    entries = some_entries(random.Random(5), 20)
    inline = b"".join(bytes(piece) for e in entries for piece in seal(e.head, [bytes(e.head.payload_length)]))
    record = LogRecord(write_id=bytes(16), time_ns=0, operation="commit")
    published = Published(1, EpochId(bytes(7)), record, inline, 777)
    assert inline_heads(published).entries() == list(inline_entries(published))


@pytest.mark.parametrize("seed", range(3))
def test_every_flipped_bit_of_a_footer_is_told_as_by_the_reader_of_one_record_at_a_time(
    tmp_path: Path, seed: int
) -> None:
    """The checksum of the frame would hide them all, so it is made to fit again."""
    entries = some_entries(random.Random(seed), 3)
    path = tmp_path / "pack"
    write_pack(path, entries)
    end = HEADER_SIZE + sum(entry.head.stored_length for entry in entries)
    records, footer = path.read_bytes()[:end], path.read_bytes()[end:-TRAILER_SIZE]
    for bit in range(0, 8 * len(footer), 3):
        flipped = bytearray(footer)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(records + bytes(flipped) + trailer(end, bytes(flipped), 3))
        assert told(lambda: read_heads(Disk(), str(path), PACK).entries()) == told(
            lambda: read_entries(Disk(), str(path), PACK)
        )


def trailer(offset: int, footer: bytes, count: int) -> bytes:
    counts = struct.pack("<QQQ", offset, len(footer), count)
    checksum = xxhash.xxh3_64_intdigest(footer + counts).to_bytes(8, "little")
    return counts + checksum + PACK + TRAILER_MAGIC


def told(read: Callable[[], list[PackEntry]]) -> object:
    try:
        return read()
    except CorruptError as error:
        return type(error), str(error)
