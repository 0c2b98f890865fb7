"""Where a chunk's bytes are: the index's row for it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import msgspec

from deltackpt.chunkstore.record import Kind, RecordHead
from deltackpt.ids import INLINE_MARK, ChunkId, EpochId, PackId

_ROW = struct.Struct("<16sQIIIHBBBBf32s")
_NO_BASE = bytes(32)


@dataclass(frozen=True, slots=True)
class InlineRecord:
    """The log record that an inline pack id stands for."""

    epoch: EpochId
    number: int


def inline_pack(epoch: EpochId, number: int) -> PackId:
    """The pack id that stands for the inline bytes of log record ``number``, of ``epoch``."""
    return PackId(INLINE_MARK + epoch + number.to_bytes(8, "big"))


def inline_record(pack: PackId) -> InlineRecord | None:
    """The log record that ``pack`` stands for, or None for a real pack."""
    if pack[:1] != INLINE_MARK:
        return None
    return InlineRecord(EpochId(pack[1:8]), int.from_bytes(pack[8:], "big"))


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
