"""One record of a pack: a chunk, or several small ones bundled, encoded together.

    head      fixed fields, 32 bytes
    members   count x (chunk id 32, plain length u32)
    bases     count x chunk id 32, when the record is a delta: one base for each member, of its length
    payload   the recipe's bytes

The plain bytes of a record are its members' plain bytes one after another; a delta is against its bases
one after another. A chunk of ordinary size is a record with one member. The checksum covers every byte of
the record but itself, so a scrub decodes nothing.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import xxhash

from deltackpt.errors import CorruptError
from deltackpt.ids import ChunkId

MAGIC = 0x43455244  # "DREC"
_HEAD = struct.Struct("<IBBBBHBBIIfQ")
HEAD_SIZE = _HEAD.size
_CHECKSUM_OFFSET = HEAD_SIZE - 8
_MEMBER = struct.Struct("<32sI")
MAX_RECORD_BYTES = 1 << 27
MAX_MEMBERS = 4096
MAX_RANK = 64

# Chunks smaller than this share a record. Readers do not depend on it.
BUNDLED_BELOW = 32 << 10


class Kind(enum.IntEnum):
    """What a record's members are. The numbers are on disk: never reuse or renumber one."""

    DATA = 0
    OBJECT = 1


class RecordCorruptError(CorruptError):
    """A record's bytes are not what was written."""


@dataclass(frozen=True, slots=True)
class Member:
    """A chunk within a record: its identity and its share of the plain bytes."""

    id: ChunkId
    length: int


@dataclass(frozen=True, slots=True)
class RecordHead:
    """Everything of a record but its payload.

    ``cost`` is the estimated time to decode it with all its bases when it was written, in ns per plain byte; ``rank``
    is 0 without bases, else above the rank of each of them.
    """

    kind: Kind
    recipe: int
    element: int
    rank: int
    cost: float
    payload_length: int
    members: tuple[Member, ...]
    bases: tuple[ChunkId, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < len(self.members) <= MAX_MEMBERS or len(self.bases) not in (0, len(self.members)):
            raise ValueError(f"a record has 1 to {MAX_MEMBERS} members and no bases or one for each")
        if bool(self.bases) != bool(self.rank) or self.rank > MAX_RANK:
            raise ValueError(f"rank {self.rank} does not fit a record with {len(self.bases)} bases")

    @property
    def plain_length(self) -> int:
        return sum(member.length for member in self.members)

    def base_of(self, chunk: ChunkId) -> ChunkId | None:
        """What the member ``chunk`` stands on; None for a keyframe."""
        return self.bases[[member.id for member in self.members].index(chunk)] if self.bases else None

    @property
    def size(self) -> int:
        """Bytes of the head with its members and bases."""
        return HEAD_SIZE + len(self.members) * (_MEMBER.size + (32 if self.bases else 0))

    @property
    def stored_length(self) -> int:
        """Bytes of the whole record."""
        return self.size + self.payload_length

    def pack(self, checksum: int) -> bytes:
        """The head's bytes with ``checksum`` in its place."""
        head = _HEAD.pack(
            MAGIC,
            self.kind,
            self.recipe,
            self.element,
            self.rank,
            len(self.members),
            bool(self.bases),
            0,
            self.plain_length,
            self.payload_length,
            self.cost,
            checksum,
        )
        members = b"".join(_MEMBER.pack(member.id, member.length) for member in self.members)
        return b"".join((head, members, *self.bases))


def seal(head: RecordHead, payload: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """The record's bytes in pieces, checksum filled in."""
    blank = head.pack(0)
    digest = xxhash.xxh3_64(blank)
    for piece in payload:
        digest.update(piece)
    return [head.pack(digest.intdigest()), *payload]


def parse_head(data: memoryview, where: str) -> RecordHead:
    """The head at the start of ``data``; RecordCorruptError names ``where`` when it cannot be one.

    Checks structure only; :func:`check` compares the checksum.
    """
    if len(data) < HEAD_SIZE:
        raise RecordCorruptError(f"{where}: record head cut short at {len(data)} bytes; run `deltackpt verify`")
    (magic, kind, recipe, element, rank, count, has_bases, pad, plain, payload, cost, _) = _HEAD.unpack_from(data)
    body = HEAD_SIZE + count * (_MEMBER.size + (32 if has_bases else 0))
    if magic != MAGIC or has_bases > 1 or pad or body > len(data):
        raise RecordCorruptError(f"{where}: no record begins here; run `deltackpt verify`")
    ends = HEAD_SIZE + count * _MEMBER.size
    members = tuple(Member(ChunkId(i), n) for i, n in _MEMBER.iter_unpack(data[HEAD_SIZE:ends]))
    bases = tuple(ChunkId(data[at : at + 32]) for at in range(ends, body, 32))
    try:
        head = RecordHead(Kind(kind), recipe, element, rank, cost, payload, members, bases)
    except ValueError as error:
        raise RecordCorruptError(f"{where}: impossible record head ({error}); run `deltackpt verify`") from None
    if head.plain_length != plain or head.stored_length > MAX_RECORD_BYTES:
        raise RecordCorruptError(f"{where}: record lengths do not add up; run `deltackpt verify`")
    return head


def plain_length(head: bytes, where: str) -> int:
    """Plain bytes of a record, from its first ``HEAD_SIZE`` bytes; nothing of it is checked but the magic."""
    if len(head) < HEAD_SIZE or int.from_bytes(head[:4], "little") != MAGIC:
        raise RecordCorruptError(f"{where}: no record begins here; run `deltackpt verify`")
    found: int = _HEAD.unpack_from(head)[8]
    return found


def check(data: memoryview, where: str) -> tuple[RecordHead, memoryview]:
    """Head and payload of exactly the record in ``data``, checksum compared."""
    head = parse_head(data, where)
    if head.stored_length != len(data):
        raise RecordCorruptError(
            f"{where}: record is {head.stored_length} bytes, expected {len(data)}; run `deltackpt verify`"
        )
    stored = int.from_bytes(data[_CHECKSUM_OFFSET:HEAD_SIZE], "little")
    digest = xxhash.xxh3_64(data[:_CHECKSUM_OFFSET])
    digest.update(bytes(8))
    digest.update(data[HEAD_SIZE:])
    if digest.intdigest() != stored:
        raise RecordCorruptError(f"{where}: checksum does not match; run `deltackpt verify`")
    return head, data[head.size :]
