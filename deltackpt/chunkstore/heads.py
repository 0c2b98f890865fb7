"""The heads of many records as columns: what footers and the inline bytes of log records say, an array for each field.

Whoever looks at every record of a store would spend twenty times as long on an object for each. What does not look
right here is parsed record by record, as everywhere else, and that says what is wrong with it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deltackpt.chunkstore.applying import inline_entries
from deltackpt.chunkstore.log_record import Published
from deltackpt.chunkstore.pack import PackEntry, footer_of, parse_footer, read_footer
from deltackpt.chunkstore.record import (
    HEAD_SIZE,
    MAGIC,
    MAX_MEMBERS,
    MAX_RANK,
    MAX_RECORD_BYTES,
    Kind,
    Member,
    RecordHead,
)
from deltackpt.fs.disk import Disk
from deltackpt.ids import ChunkId, PackId

Ids = NDArray[np.uint64]
"""Chunk ids, four columns of 8 bytes."""

FIELDS = np.dtype(
    [
        ("magic", "<u4"),
        ("kind", "u1"),
        ("recipe", "u1"),
        ("element", "u1"),
        ("rank", "u1"),
        ("members", "<u2"),
        ("has_bases", "u1"),
        ("zero", "u1"),
        ("plain", "<u4"),
        ("payload", "<u4"),
        ("cost", "<f4"),
        ("checksum", "<u8"),
    ]
)
_MEMBER = np.dtype([("id", "<u8", (4,)), ("length", "<u4")])
_ID = np.dtype(("<u8", (4,)))
_OFFSET = np.dtype("<u8")
# Of a head: how many members, whether it has bases, a zero, and two lengths, of which the second is the payload's.
_COUNTS = struct.Struct("<HBBII")
_COUNTS_AT = 8


@dataclass(frozen=True, slots=True)
class Heads:
    """Heads of records, and where in their file each lies.

    ``fields`` are the fixed ones of a row each, as on disk; ``ids`` and ``lengths`` are of the members of all records,
    one after another; ``bases`` of the records that have any.
    """

    offsets: NDArray[np.uint64]
    fields: NDArray[np.void]
    ids: Ids
    lengths: NDArray[np.uint32]
    bases: Ids

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def members(self) -> NDArray[np.int64]:
        """How many members each record has."""
        return self.fields["members"].astype(np.int64)

    @property
    def based(self) -> NDArray[np.bool_]:
        """For each member, whether there is a base for it."""
        return np.repeat(self.fields["has_bases"] > 0, self.members)

    @classmethod
    def of(cls, entries: Iterable[PackEntry]) -> Self:
        """The same as columns; ValueError when one of the records is impossible."""
        known = list(entries)
        found = _in_footer(footer_of(known), len(known))
        if found is None:
            raise ValueError("the heads of these records cannot be")
        return cls(found.offsets, found.fields, found.ids, found.lengths, found.bases)

    @classmethod
    def joined(cls, several: Sequence[Heads]) -> Self:
        """All of them, one after another; at least one."""
        columns = ("offsets", "fields", "ids", "lengths", "bases")
        return cls(*(np.concatenate([getattr(heads, column) for heads in several]) for column in columns))

    def entries(self) -> list[PackEntry]:
        """The same as objects."""
        ids, bases = split_ids(self.ids), iter(split_ids(self.bases))
        members = iter([Member(chunk, length) for chunk, length in zip(ids, self.lengths.tolist(), strict=True)])
        return [
            PackEntry(offset, _head(fields, members, bases))
            for offset, fields in zip(self.offsets.tolist(), self.fields.tolist(), strict=True)
        ]


def read_heads(disk: Disk, path: str, pack: PackId) -> Heads:
    """What a pack holds, from its footer. Errors as of :func:`~deltackpt.chunkstore.pack.read_entries`."""
    footer, count = read_footer(disk, path, pack)
    found = _in_footer(footer, count)
    return Heads.of(parse_footer(footer, count, pack)) if found is None else found


def inline_heads(published: Published) -> Heads:
    """The records that a log record carries; offsets count from the start of its file. RecordCorruptError."""
    found = _inline(published.inline, published.inline_offset)
    return Heads.of(inline_entries(published)) if found is None else found


def stored_lengths(fields: NDArray[np.void]) -> NDArray[np.int64]:
    """Bytes of whole records."""
    stored: NDArray[np.int64] = head_sizes(fields) + fields["payload"]
    return stored


def head_sizes(fields: NDArray[np.void]) -> NDArray[np.int64]:
    """Bytes of heads with their members and bases."""
    each = _MEMBER.itemsize + _ID.itemsize * fields["has_bases"].astype(np.int64)
    sizes: NDArray[np.int64] = HEAD_SIZE + fields["members"] * each
    return sizes


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64], step: int = 1) -> NDArray[np.int64]:
    """``counts`` numbers from each of ``starts`` on, ``step`` apart, one range after another."""
    within = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(starts, counts) + step * within


def _in_footer(footer: bytes, count: int) -> Heads | None:
    """None when not everything is as it must be."""
    heads, at = [], _OFFSET.itemsize
    while at + HEAD_SIZE <= len(footer):
        members, has_bases, *_ = _COUNTS.unpack_from(footer, at + _COUNTS_AT)
        heads.append(at)
        at += HEAD_SIZE + members * (_MEMBER.itemsize + _ID.itemsize * has_bases) + _OFFSET.itemsize
    if at != len(footer) + _OFFSET.itemsize or len(heads) != count:
        return None
    places = np.array(heads, np.int64)
    return _columns(footer, places, _at(footer, places - _OFFSET.itemsize, _OFFSET))


def _inline(inline: bytes, offset: int) -> Heads | None:
    heads, at = [], 0
    while at + HEAD_SIZE <= len(inline):
        members, has_bases, _, _, payload = _COUNTS.unpack_from(inline, at + _COUNTS_AT)
        heads.append(at)
        at += HEAD_SIZE + members * (_MEMBER.itemsize + _ID.itemsize * has_bases) + payload
    if at != len(inline):
        return None
    places = np.array(heads, np.int64)
    return _columns(inline, places, (places + offset).astype(np.uint64))


def _columns(data: bytes, heads: NDArray[np.int64], offsets: NDArray[np.uint64]) -> Heads | None:
    fields = _at(data, heads, FIELDS)
    if not _are_possible(fields):
        return None
    members = fields["members"].astype(np.int64)
    first = heads + HEAD_SIZE
    rows = _at(data, ranges(first, members, _MEMBER.itemsize), _MEMBER)
    lengths = np.ascontiguousarray(rows["length"])
    plain = np.add.reduceat(lengths, np.cumsum(members) - members, dtype=np.int64) if len(heads) else ()
    if not np.array_equal(plain, fields["plain"]):
        return None
    bases = ranges(first + members * _MEMBER.itemsize, members * fields["has_bases"], _ID.itemsize)
    return Heads(offsets, fields, np.ascontiguousarray(rows["id"]), lengths, _at(data, bases, _ID))


def _are_possible(fields: NDArray[np.void]) -> bool:
    """As :func:`~deltackpt.chunkstore.record.parse_head` has it, but for what takes the members to know."""
    return bool(
        (fields["magic"] == MAGIC).all()
        and (fields["kind"] <= max(Kind)).all()
        and (fields["members"] > 0).all()
        and (fields["members"] <= MAX_MEMBERS).all()
        and (fields["has_bases"] == (fields["rank"] > 0)).all()
        and (fields["rank"] <= MAX_RANK).all()
        and not fields["zero"].any()
        and (stored_lengths(fields) <= MAX_RECORD_BYTES).all()
    )


def _at(data: bytes, places: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A value of ``dtype`` from each of some places, which are in no way aligned."""
    shape = dtype.shape
    if not len(places):
        return np.empty((0, *shape), dtype.base)
    flat = np.dtype((np.void, dtype.itemsize)) if shape else dtype
    found = np.ndarray((len(data) - dtype.itemsize + 1,), flat, data, 0, (1,))[places]
    return found.view(dtype.base).reshape(-1, *shape) if shape else found


def join_ids(chunks: Iterable[bytes]) -> Ids:
    """Ids, of which a piece may hold several, as rows of numbers."""
    return np.frombuffer(b"".join(chunks), _ID.base).reshape(-1, *_ID.shape)


def split_ids(ids: Ids) -> list[ChunkId]:
    """Ids as objects."""
    data = ids.tobytes()
    return [ChunkId(data[at : at + ChunkId.size]) for at in range(0, len(data), ChunkId.size)]


def _head(fields: tuple[Any, ...], members: Iterator[Member], bases: Iterator[ChunkId]) -> RecordHead:
    _, kind, recipe, element, rank, count, has_bases, _, _, payload, cost, _ = fields
    own, below = tuple(islice(members, count)), tuple(islice(bases, count * has_bases))
    return RecordHead(Kind(kind), recipe, element, rank, cost, payload, own, below)
