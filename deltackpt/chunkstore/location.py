"""Where a chunk's bytes are: the index's row for it."""

from __future__ import annotations

import struct

import msgspec

from deltackpt.chunkstore.record import Kind, RecordHead
from deltackpt.ids import ChunkId, PackId

_ROW = struct.Struct("<16sQIIIHBBBBf32s")
_NO_BASE = bytes(32)
_INLINE_PREFIX = bytes(8)


def inline_pack(number: int) -> PackId:
    """The pack id that stands for the inline bytes of log record ``number``."""
    return PackId(_INLINE_PREFIX + number.to_bytes(8, "big"))


def inline_number(pack: PackId) -> int | None:
    """The log record that ``pack`` stands for, or None for a real pack."""
    return int.from_bytes(pack[8:], "big") if pack[:8] == _INLINE_PREFIX else None


class Location(msgspec.Struct, frozen=True):
    """A chunk's record and the chunk's place within its plain bytes.

    ``members`` counts the chunks of the record. ``base`` is the chunk's own base, None for a keyframe; to decode
    a bundle, the bases of the other members are needed too. ``cost`` is in ns per plain byte.
    """

    pack: PackId
    offset: int
    stored_length: int
    plain_length: int
    member_offset: int
    members: int
    kind: Kind
    recipe: int
    element: int
    rank: int
    cost: float
    base: ChunkId | None

    def pack_row(self) -> bytes:
        return _ROW.pack(
            self.pack,
            self.offset,
            self.stored_length,
            self.plain_length,
            self.member_offset,
            self.members,
            self.kind,
            self.recipe,
            self.element,
            self.rank,
            self.cost,
            self.base or _NO_BASE,
        )

    @classmethod
    def from_row(cls, row: bytes) -> Location:
        pack, offset, stored, plain, member, members, kind, recipe, element, rank, cost, base = _ROW.unpack(row)
        return cls(
            PackId(pack),
            offset,
            stored,
            plain,
            member,
            members,
            Kind(kind),
            recipe,
            element,
            rank,
            cost,
            ChunkId(base) if rank else None,
        )


def locations(pack: PackId, offset: int, head: RecordHead) -> list[tuple[ChunkId, Location]]:
    """The row of each member of the record at ``offset`` of ``pack``."""
    rows = []
    at = 0
    for position, member in enumerate(head.members):
        base = head.bases[position] if head.bases else None
        row = Location(
            pack,
            offset,
            head.stored_length,
            member.length,
            at,
            len(head.members),
            head.kind,
            head.recipe,
            head.element,
            head.rank,
            head.cost,
            base,
        )
        rows.append((member.id, row))
        at += member.length
    return rows
