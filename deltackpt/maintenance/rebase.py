"""Deltas that leave a dead base: what gc encodes anew so that garbage need not be kept for its sake.

A dead record is *held* when a live delta stands on it, directly or over others. Held records and the deltas that stand
on them fall into islands, which can be judged one by one: an island goes when what is held there is worth more than the
live deltas grow by when they stand elsewhere, on a live chunk further down their chain or on one another, or whole.

A delta's new record takes over from the old one, of which others may be the bases, those of writers at work included:
its rank and its cost are no higher than before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from deltackpt.chunkstore.encoder import Candidate, encode_record
from deltackpt.chunkstore.pack_writer import Payload
from deltackpt.chunkstore.reader import ChunkReader
from deltackpt.chunkstore.record import Member, RecordHead
from deltackpt.errors import CorruptError, NotFoundError
from deltackpt.ids import ChunkId
from deltackpt.maintenance.survey import Place, Survey
from deltackpt.tensor.dtype import Element

# What is saved must be this part of what is written for it.
_WORTH = 0.10
# Payloads kept from the plan until they are written; beyond this they are encoded a second time.
_KEPT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class _Footing:
    """Chunks on which a record may stand, with cost and rank as they were when it was planned."""

    chunks: tuple[ChunkId, ...]
    cost: float
    rank: int


@dataclass(frozen=True, slots=True)
class Rebased:
    """A live delta, encoded anew. ``payload`` is None when memory ran short: :meth:`Rebasing.payload` has it again."""

    place: Place
    head: RecordHead
    footings: tuple[_Footing, ...]
    payload: Payload | None = field(default=None, compare=False, repr=False)

    @property
    def growth(self) -> int:
        """Bytes that the new record has more than the old one."""
        return self.head.stored_length - self.place.entry.head.stored_length


@dataclass(frozen=True, slots=True)
class _Island:
    """Held records, and the live deltas that stand on them, in the order in which they are encoded."""

    held: list[Place] = field(default_factory=list)
    standing: list[Place] = field(default_factory=list)

    @property
    def held_bytes(self) -> int:
        return sum(place.entry.head.stored_length for place in self.held)


@dataclass(slots=True)
class Rebasing:
    """Finds what is worth encoding anew. ``chunks`` are those that commits need, ``live`` all records that takes."""

    survey: Survey
    reader: ChunkReader
    chunks: Collection[ChunkId]
    live: Mapping[int, Place]
    _heads: dict[ChunkId, RecordHead] = field(default_factory=dict)
    _kept: int = 0

    def plan(self, max_written: int | None = None) -> list[Rebased]:
        """The deltas of all islands that are worth it, bases first; no more than ``max_written`` bytes of records."""
        planned: list[Rebased] = []
        written = 0
        for island in self._islands():
            room = None if max_written is None else max_written - written
            found = self._evacuated(island, room)
            planned += found
            written += sum(rebased.head.stored_length for rebased in found)
        return planned

    def payload(self, rebased: Rebased) -> Payload:
        """The payload of a record of the plan; encodes it again when it was not kept."""
        if rebased.payload is not None:
            return rebased.payload
        return self._encode(rebased.place, rebased.footings)[1]

    def _islands(self) -> list[_Island]:
        places = (self.survey.in_use.get(chunk) for chunk in self.chunks)
        wanted = {id(place.entry) for place in places if place is not None}
        held = {key: place for key, place in self.live.items() if key not in wanted}
        joined = _Joined()
        standing = []
        for key, place in self.live.items():
            below = [base for base in self._below(place) if base in held]
            joined.join([key, *below] if key in held else below)
            if below and key in wanted:
                standing.append((below[0], place))
        islands: dict[int, _Island] = {}
        for key, place in held.items():
            islands.setdefault(joined.of(key), _Island()).held.append(place)
        age = {pack: at for at, pack in enumerate(self.survey.packs)}
        # A chunk further down the chain has the lower rank, so it has its new record before others look for it.
        standing.sort(key=lambda pair: (pair[1].entry.head.rank, age[pair[1].pack], pair[1].entry.offset))
        for below_first, place in standing:
            islands[joined.of(below_first)].standing.append(place)
        return [island for island in islands.values() if island.standing]

    def _below(self, place: Place) -> Iterator[int]:
        places = (self.survey.in_use.get(base) for base in place.entry.head.bases)
        return (id(place.entry) for place in places if place is not None)

    def _evacuated(self, island: _Island, room: int | None) -> list[Rebased]:
        """The deltas of the island, encoded anew; none when that is not worth it or too much, or one is unreadable."""
        before, kept = dict(self._heads), self._kept
        try:
            found = self._encoded(island, room)
        except (CorruptError, NotFoundError):
            found = []
        if not found:
            self._heads, self._kept = before, kept
        return found

    def _encoded(self, island: _Island, room: int | None) -> list[Rebased]:
        saved, written = island.held_bytes, 0
        left: dict[ChunkId, list[ChunkId]] = {}
        found = []
        for place in island.standing:
            rebased = self._rebased(place, left)
            found.append(rebased)
            saved -= rebased.growth
            written += rebased.head.stored_length
            if saved < _WORTH * written or (room is not None and written > room):
                return []
        return found

    def _rebased(self, place: Place, left: dict[ChunkId, list[ChunkId]]) -> Rebased:
        """``left`` holds, for the foot of each dead stretch, the chunks that left it before."""
        members, rank = self._members(place), place.entry.head.rank
        ways = [self._way_down(member.id) for member in members]
        siblings = [self._nearest(left.get(foot, []), rank) for foot, _ in ways]
        rows = (siblings, [ancestor for _, ancestor in ways])
        found = dict.fromkeys(tuple(chunk for chunk in row if chunk is not None) for row in rows)
        lengths = [member.length for member in members]
        footings = tuple(self._footing(chunks) for chunks in found if self._lengths(chunks) == lengths)
        head, payload = self._encode(place, footings)
        for (foot, _), member in zip(ways, members, strict=True):
            self._heads[member.id] = head
            left.setdefault(foot, []).append(member.id)
        keeps = self._kept + head.payload_length <= _KEPT_BYTES
        self._kept += head.payload_length if keeps else 0
        return Rebased(place, head, footings, payload if keeps else None)

    def _nearest(self, chunks: Sequence[ChunkId], rank: int) -> ChunkId | None:
        """The last of these on which something of ``rank`` may stand."""
        return next((chunk for chunk in reversed(chunks) if self._heads[chunk].rank < rank), None)

    def _members(self, place: Place) -> tuple[Member, ...]:
        """Those members of a record that commits need from it."""
        members = place.entry.head.members
        return tuple(m for m in members if m.id in self.chunks and self.survey.in_use[m.id].entry is place.entry)

    def _way_down(self, chunk: ChunkId) -> tuple[ChunkId, ChunkId | None]:
        """The last dead chunk under a live one, and the live one below that; the chunk itself when none is dead."""
        foot = chunk
        while (base := self._base(foot)) is not None:
            if base in self.chunks:
                return foot, base
            foot = base
        return foot, None

    def _base(self, chunk: ChunkId) -> ChunkId | None:
        place = self.survey.in_use.get(chunk)
        if place is None or not place.entry.head.bases:
            return None
        head = place.entry.head
        return head.bases[[member.id for member in head.members].index(chunk)]

    def _encode(self, place: Place, footings: Iterable[_Footing]) -> tuple[RecordHead, Payload]:
        old, members = place.entry.head, self._members(place)
        plain = self._plain([member.id for member in members])
        candidates = [Candidate(f.chunks, self._plain(f.chunks), f.cost, f.rank) for f in footings]
        return encode_record(old.kind, Element(old.element), members, plain, candidates, old.cost)

    def _plain(self, chunks: Iterable[ChunkId]) -> memoryview:
        plains = [self.reader.read(chunk) for chunk in chunks]
        return plains[0] if len(plains) == 1 else memoryview(b"".join(plains))

    def _footing(self, chunks: tuple[ChunkId, ...]) -> _Footing:
        heads = [self._heads.get(chunk) or self.survey.in_use[chunk].entry.head for chunk in chunks]
        return _Footing(chunks, max(head.cost for head in heads), max(head.rank for head in heads))

    def _lengths(self, chunks: Iterable[ChunkId]) -> list[int]:
        members = ((chunk, self.survey.in_use[chunk].entry.head.members) for chunk in chunks)
        return [next(member.length for member in found if member.id == chunk) for chunk, found in members]


class _Joined:
    """Sets of records that are judged together."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}

    def of(self, key: int) -> int:
        """The one that stands for all that are joined with ``key``."""
        found = key
        while (above := self._above.get(found, found)) != found:
            self._above[found] = self._above.get(above, above)
            found = above
        return found

    def join(self, keys: Iterable[int]) -> None:
        first, *others = [self.of(key) for key in keys] or [0]
        for other in others:
            self._above[other] = first
