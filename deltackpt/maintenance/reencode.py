"""Encoding live records anew: what they hold stays, what they stand on changes.

A plan says to the byte what that would write. It holds the payloads, too, as far as there is memory; the others are
encoded a second time when they are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from deltackpt.chunkstore.encoder import Candidate, encode_record
from deltackpt.chunkstore.pack_writer import Payload
from deltackpt.chunkstore.reader import ChunkReader
from deltackpt.chunkstore.record import MAX_RANK, Member, RecordHead
from deltackpt.errors import NotFoundError
from deltackpt.ids import ChunkId
from deltackpt.maintenance.chunk_set import ChunkSet
from deltackpt.maintenance.holdings import Place
from deltackpt.maintenance.survey import Survey
from deltackpt.tensor.dtype import Element

KEPT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Footing:
    """Chunks on which a record may stand, one for each member, with cost and rank as they were when it was planned."""

    chunks: tuple[ChunkId, ...]
    cost: float
    rank: int


@dataclass(frozen=True, slots=True)
class Reencoded:
    """A live record, encoded anew. ``payload`` is None when memory ran short."""

    place: Place
    head: RecordHead
    footings: tuple[Footing, ...]
    budget: float
    payload: Payload | None = field(default=None, compare=False, repr=False)

    @property
    def growth(self) -> int:
        """Bytes that the new record has more than the old one."""
        return self.head.stored_length - self.place.entry.head.stored_length

    def is_current(self, survey: Survey) -> bool:
        """Whether the old record is still the one in use: what stands on that, now or soon, stands on the new one."""
        places = [survey.in_use.get(member.id) for member in self.head.members]
        return all(place is not None and place.entry is self.place.entry for place in places)


@dataclass(slots=True)
class Reencoder:
    """Encodes records of a store anew; ``chunks`` are those that commits need, others are left out of a record.

    What it planned counts as done: :meth:`head` is of the new record then.
    """

    survey: Survey
    reader: ChunkReader
    chunks: ChunkSet
    _heads: dict[ChunkId, RecordHead] = field(default_factory=dict)
    _kept: dict[ChunkId, int] = field(default_factory=dict)
    _kept_bytes: int = 0

    def members(self, place: Place) -> tuple[Member, ...]:
        """Those members of a record that commits need from it."""
        members = place.entry.head.members
        there = ((member, self.survey.in_use.get(member.id)) for member in members if member.id in self.chunks)
        return tuple(member for member, found in there if found is not None and found.entry is place.entry)

    def head(self, chunk: ChunkId) -> RecordHead:
        """Of the record that will hold the chunk; NotFoundError when it is lost."""
        if chunk in self._heads:
            return self._heads[chunk]
        if chunk not in self.survey.in_use:
            raise NotFoundError(f"chunk {chunk.short} is lost; run `deltackpt repair`")
        return self.survey.in_use[chunk].entry.head

    def footing(self, chunks: Sequence[ChunkId | None], members: Sequence[Member], *, times: int = 1) -> Footing | None:
        """What a record of ``members`` may stand on, or None where a chunk is missing or is not of its length.

        With ``times`` 2 the chunks are twice as long, as the values are that a member was rounded from.
        """
        found = tuple(chunk for chunk in chunks if chunk is not None)
        if len(found) < len(members) or any(map(partial(self._differ, times=times), found, members)):
            return None
        heads = [self.head(chunk) for chunk in found]
        cost, rank = max(head.cost for head in heads), max(head.rank for head in heads)
        return Footing(found, cost, rank) if rank < MAX_RANK else None

    def _differ(self, chunk: ChunkId, member: Member, times: int) -> bool:
        return all(found.id != chunk or found.length != times * member.length for found in self.head(chunk).members)

    def plan(self, place: Place, footings: Iterable[Footing | None], budget: float) -> Reencoded:
        """The record at ``place`` on the best of ``footings``, or whole; reads what it takes.

        ``budget`` is what decoding it may cost, in ns per plain byte. CorruptError or NotFoundError when the record, or
        one of the footings, cannot be read.
        """
        usable = tuple({footing.chunks: footing for footing in footings if footing is not None}.values())
        head, payload = self._encode(place, self.members(place), usable, budget)
        self._heads.update((member.id, head) for member in head.members)
        keeps = self._kept_bytes + head.payload_length <= KEPT_BYTES
        if keeps:
            self._kept[head.members[0].id] = head.payload_length
            self._kept_bytes += head.payload_length
        return Reencoded(place, head, usable, budget, payload if keeps else None)

    def take_back(self, planned: Iterable[Reencoded]) -> None:
        """Leave these as they are, which nothing else was planned to stand on."""
        for record in planned:
            self._release(record)
            for member in record.head.members:
                self._heads.pop(member.id, None)

    def payload(self, record: Reencoded) -> Payload:
        """The payload of a planned record, to be asked for once: it counts as kept until then."""
        if record.payload is not None:
            self._release(record)
            return record.payload
        return self._encode(record.place, record.head.members, record.footings, record.budget)[1]

    def _release(self, record: Reencoded) -> None:
        """The payload is somebody else's, or nobody's; told twice, it counts once."""
        self._kept_bytes -= self._kept.pop(record.head.members[0].id, 0)

    def _encode(
        self, place: Place, members: tuple[Member, ...], footings: Iterable[Footing], budget: float
    ) -> tuple[RecordHead, Payload]:
        old = place.entry.head
        plain = self._plain([member.id for member in members])
        candidates = [Candidate(f.chunks, self._plain(f.chunks), f.cost, f.rank) for f in footings]
        return encode_record(old.kind, Element(old.element), members, plain, candidates, budget)

    def _plain(self, chunks: Iterable[ChunkId]) -> memoryview:
        plains = [self.reader.read(chunk) for chunk in chunks]
        return plains[0] if len(plains) == 1 else memoryview(b"".join(plains))
