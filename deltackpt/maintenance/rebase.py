"""Deltas that leave a dead base: what gc encodes anew so that garbage need not be kept for its sake.

A dead record is *held* when a live delta stands on it, directly or over others. Held records and the deltas that stand
on them fall into islands, which can be judged one by one: an island goes when what is held there is worth more than the
live deltas grow by when they stand elsewhere, on a live chunk further down their chain or on one another, or whole.
A bundle may be both: of an island, and what others stand on; then those belong to it, too.

A delta's new record takes over from the old one, of which others may be the bases, those of writers at work included:
its rank and its cost are no higher than before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from deltackpt.errors import CorruptError, NotFoundError
from deltackpt.ids import ChunkId
from deltackpt.maintenance.chunk_set import ChunkSet
from deltackpt.maintenance.holdings import Place
from deltackpt.maintenance.live import Live
from deltackpt.maintenance.numbering import Numbers
from deltackpt.maintenance.records import Mask, Records
from deltackpt.maintenance.reencode import Reencoded, Reencoder

# What is saved must be this part of what is written for it.
_WORTH = 0.10


@dataclass(frozen=True, slots=True)
class _Island:
    """Held records, and the live deltas that stand on them, in the order in which they are encoded."""

    held: list[Place] = field(default_factory=list)
    standing: list[Place] = field(default_factory=list)

    @property
    def held_bytes(self) -> int:
        return sum(place.entry.head.stored_length for place in self.held)


def rebase(reencoder: Reencoder, live: Live, max_written: int | None = None) -> list[Reencoded]:
    """The deltas of all islands that are worth it, bases first; no more than ``max_written`` bytes of records.

    ``live`` are all records that it takes to decode what commits need.
    """
    planned: list[Reencoded] = []
    written = 0
    for island in _islands(reencoder, live):
        room = None if max_written is None else max_written - written
        found = _Evacuation(reencoder, island, room).planned()
        planned += found
        written += sum(record.head.stored_length for record in found)
    return planned


def _islands(reencoder: Reencoder, live: Live) -> list[_Island]:
    holdings = live.holdings
    held = live.mask & ~_wanted(holdings.records, reencoder.chunks)
    sunk, below = _below(live, reencoder.chunks, held)
    joined = _Joined()
    for record, bases in below.items():
        joined.join([record, *bases] if sunk[record] else bases)
    islands: dict[int, _Island] = {}
    dead = np.flatnonzero(held)
    for record, place in zip(dead.tolist(), holdings.places(dead), strict=True):
        islands.setdefault(joined.of(record), _Island()).held.append(place)
    standing = [record for record in below if not held[record]]
    found = list(zip(standing, holdings.places(standing), strict=True))
    age = {pack: at for at, pack in enumerate(holdings.packs)}
    # A chunk further down the chain has the lower rank, so it has its new record before others look for it.
    found.sort(key=lambda pair: (pair[1].entry.head.rank, age[pair[1].pack], pair[1].entry.offset))
    for record, place in found:
        islands[joined.of(below[record][0])].standing.append(place)
    return [island for island in islands.values() if island.standing]


def _wanted(records: Records, chunks: ChunkSet) -> Mask:
    """By record, whether it holds one of ``chunks``."""
    found = np.zeros(len(records), np.bool_)
    holding = records.holding(np.flatnonzero(chunks.mask()))
    found[holding[holding >= 0]] = True
    return found


def _below(live: Live, chunks: ChunkSet, held: Mask) -> tuple[Mask, dict[int, list[int]]]:
    """The records that hold others up from below: which they are, and those on which live records stand, by those.

    They are the held ones; and a bundle that stands on one of them and has, beside chunks that commits need, dead ones
    that are the bases of others. It cannot go before those have left it.
    """
    upper, lower = _dead_footings(live, chunks)
    serves = np.zeros(len(held), np.bool_)
    serves[lower] = True
    sunk = held.copy()
    while (more := sunk[lower] & serves[upper] & ~sunk[upper]).any():
        sunk[upper[more]] = True
    found: dict[int, list[int]] = {}
    stands = sunk[lower]
    for record, base in zip(upper[stands].tolist(), lower[stands].tolist(), strict=True):
        found.setdefault(record, []).append(base)
    return sunk, found


def _dead_footings(live: Live, chunks: ChunkSet) -> tuple[Numbers, Numbers]:
    """Live records beside those that hold their bases, for bases that no commit needs."""
    records = live.holdings.records
    members = np.flatnonzero(live.mask[records.records] & (records.bases >= 0))
    bases = records.bases[members]
    dead = ~chunks.mask()[bases]
    upper, lower = records.records[members[dead]], records.holding(bases[dead])
    return upper[lower >= 0], lower[lower >= 0]


@dataclass(frozen=True, slots=True)
class _Evacuation:
    """One island's. ``left`` holds, for the foot of each dead stretch, the chunks that have left it."""

    reencoder: Reencoder
    island: _Island
    room: int | None
    left: dict[ChunkId, list[ChunkId]] = field(default_factory=dict)

    def planned(self) -> list[Reencoded]:
        """The deltas of the island, encoded anew; none when that is not worth it or too much, or one is unreadable."""
        found: list[Reencoded] = []
        saved, written = self.island.held_bytes, 0
        for place in self.island.standing:
            try:
                record = self._leave(place)
            except (CorruptError, NotFoundError):
                break
            found.append(record)
            saved -= record.growth
            written += record.head.stored_length
            if saved < _WORTH * written or (self.room is not None and written > self.room):
                break
        else:
            return found
        self.reencoder.take_back(found)
        return []

    def _leave(self, place: Place) -> Reencoded:
        old, members = place.entry.head, self.reencoder.members(place)
        ways = [self._way_down(member.id) for member in members]
        siblings = [self._nearest(self.left.get(foot, []), old.rank) for foot, _ in ways]
        rows = (siblings, [ancestor for _, ancestor in ways])
        record = self.reencoder.plan(place, [self.reencoder.footing(row, members) for row in rows], old.cost)
        for (foot, _), member in zip(ways, members, strict=True):
            self.left.setdefault(foot, []).append(member.id)
        return record

    def _nearest(self, chunks: Sequence[ChunkId], rank: int) -> ChunkId | None:
        """The last of these on which something of ``rank`` may stand."""
        return next((chunk for chunk in reversed(chunks) if self.reencoder.head(chunk).rank < rank), None)

    def _way_down(self, chunk: ChunkId) -> tuple[ChunkId, ChunkId | None]:
        """The last dead chunk above a live one, and the live one; the chunk itself when its base lives."""
        foot = chunk
        while (base := self._base(foot)) is not None:
            if base in self.reencoder.chunks:
                return foot, base
            foot = base
        return foot, None

    def _base(self, chunk: ChunkId) -> ChunkId | None:
        place = self.reencoder.survey.in_use.get(chunk)
        return None if place is None else place.entry.head.base_of(chunk)


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
