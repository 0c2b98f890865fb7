"""The packs of a store with their records, as a survey finds them, and the copy of each chunk that is in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deltackpt.chunkstore.heads import Heads, join_ids, split_ids
from deltackpt.chunkstore.location import locations
from deltackpt.chunkstore.pack import PackEntry
from deltackpt.chunkstore.reader import Locations
from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.numbering import Numbers
from deltackpt.maintenance.records import Records

# Members that wait to be taken into the table together.
_AT_ONCE = 1 << 17
# Records that are made into objects together.
_PLACES_AT_ONCE = 4096
_NONE_UNUSED: Set[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Place:
    """A record in a pack, or in the log."""

    pack: PackId
    entry: PackEntry


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack of the store: its number here, the bytes of its file, and its records, ``start`` to ``stop``."""

    number: int
    size: int
    start: int
    stop: int


class Holdings:
    """Packs of a store, inline bytes of log records included, which count as packs.

    What arrives is in use when it has settled. A place is made once: whoever asks again gets the same object.
    """

    def __init__(self) -> None:
        self.records = Records()
        self.packs: dict[PackId, Pack] = {}
        self._names: list[PackId] = []
        self._arrived: list[tuple[int, Heads]] = []
        self._again: list[Pack] = []
        self._waiting = 0
        self._stop = 0
        self._places: dict[int, Place] = {}

    @property
    def names(self) -> Sequence[PackId]:
        """Packs by their number, those that have left too."""
        return self._names

    @property
    def in_use(self) -> InUse:
        """Where each chunk is."""
        return InUse(self)

    def arrive(self, pack: PackId, size: int, heads: Heads) -> None:
        """A pack becomes part of the store; or is named once more, and its records are as if they had come again."""
        if pack in self.packs:
            self._again.append(self.packs[pack])
            return
        number, start = len(self._names), self._stop
        self._stop += len(heads)
        self._names.append(pack)
        self.packs[pack] = Pack(number, size, start, self._stop)
        self._arrived.append((number, heads))
        self._waiting += len(heads.ids)

    @property
    def crowded(self) -> bool:
        """Whether enough has arrived to be settled for its number."""
        return self._waiting >= _AT_ONCE

    def settle(self, unused: Set[bytes] = _NONE_UNUSED, *, takes_over: bool = False) -> Numbers:
        """Put in use what has arrived, as the index does, but for copies of ``unused`` chunks; returns its chunks.

        The first copy of a chunk stays in use, but those that take over.
        """
        if not self._arrived and not self._again:
            return np.empty(0, np.int32)
        members = self._taken_in()
        if unused:
            numbering = self.records.numbering
            passed = [numbering.find_one(ChunkId(chunk)) for chunk in unused]
            members = members[~np.isin(self.records.chunks[members], passed)]
        return self.records.use(members, takes_over=takes_over)

    def _taken_in(self) -> NDArray[np.int64]:
        """The members that have arrived, in the table by now."""
        first = len(self.records.chunks)
        if self._arrived:
            numbers, heads = zip(*self._arrived, strict=True)
            self._arrived, self._waiting = [], 0
            self.records.add(np.repeat(numbers, [len(each) for each in heads]), Heads.joined(heads))
        again = [self.records.members_of(np.arange(pack.start, pack.stop)) for pack in self._again]
        self._again = []
        return np.concatenate([*again, np.arange(first, len(self.records.chunks))])

    def leave(self, pack: PackId) -> None:
        """A pack leaves the store, with every chunk that is in use there."""
        known = self.packs.pop(pack, None)
        if known is not None:
            self.records.leave(slice(known.start, known.stop))

    def find(self, chunk: bytes) -> int:
        """The record that holds a chunk, or -1."""
        number = self.records.numbering.find_one(chunk)
        member = int(self.records.holders[number]) if number >= 0 else -1
        return int(self.records.records[member]) if member >= 0 else -1

    def place(self, record: int) -> Place:
        known = self._places.get(record)
        return next(self.places([record])) if known is None else known

    def places(self, records: Iterable[int] | NDArray[np.integer]) -> Iterator[Place]:
        """Of some records, in their order."""
        wanted = np.fromiter(records, np.int64)
        for at in range(0, len(wanted), _PLACES_AT_ONCE):
            some = wanted[at : at + _PLACES_AT_ONCE]
            new = [record for record in some.tolist() if record not in self._places]
            packs = self.records.packs[new].tolist() if new else []
            entries = self.records.heads(np.array(new, np.int64)).entries() if new else []
            for record, pack, entry in zip(new, packs, entries, strict=True):
                # Of two threads at once one is first.
                self._places.setdefault(record, Place(self._names[pack], entry))
            yield from (self._places[record] for record in some.tolist())

    def locations(self, chunks: Sequence[ChunkId]) -> Locations:
        """Where a reader finds these; without those that are not in use."""
        numbers = self.records.numbering.find(join_ids(chunks))
        there = np.flatnonzero(numbers >= 0)
        held = self.records.holding(numbers[there])
        holders = {chunks[at]: record for at, record in zip(there.tolist(), held.tolist(), strict=True)}
        records = np.unique(held[held >= 0])
        packs, entries = self.records.packs[records].tolist(), self.records.heads(records).entries()
        return {
            chunk: location
            for record, pack, entry in zip(records.tolist(), packs, entries, strict=True)
            for chunk, location in locations(self._names[pack], entry.offset, entry.head)
            if holders.get(chunk) == record
        }

    def entries(self, pack: PackId) -> list[PackEntry]:
        """What a pack holds."""
        known = self.packs[pack]
        return [place.entry for place in self.places(range(known.start, known.stop))]

    def stands_in(self, packs: Iterable[PackId]) -> NDArray[np.bool_]:
        """For each record, whether it lies in one of ``packs``."""
        there = np.zeros(len(self._names), np.bool_)
        there[[self.packs[pack].number for pack in packs if pack in self.packs]] = True
        return there[self.records.packs]

    def compact(self) -> None:
        """Let go of places, and of rows of packs that have left when they are most of all; others are renumbered."""
        self._places.clear()
        present = sum(pack.stop - pack.start for pack in self.packs.values())
        if 2 * present >= len(self.records):
            return
        names, counts = list(self.packs), [pack.stop - pack.start for pack in self.packs.values()]
        rows = [np.arange(pack.start, pack.stop) for pack in self.packs.values()]
        stops = np.cumsum([0, *counts]).tolist()
        self.records = self.records.kept(
            np.concatenate([np.empty(0, np.int64), *rows]), np.repeat(np.arange(len(names)), counts)
        )
        self.packs = {
            name: Pack(number, self.packs[name].size, stops[number], stops[number + 1])
            for number, name in enumerate(names)
        }
        self._names, self._stop = names, stops[-1]


class InUse(Mapping[ChunkId, Place]):
    """Where each chunk of the store is: the record that is its copy in use."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def __getitem__(self, chunk: ChunkId) -> Place:
        record = self._holdings.find(chunk)
        if record < 0:
            raise KeyError(chunk)
        return self._holdings.place(record)

    def __contains__(self, chunk: object) -> bool:
        return isinstance(chunk, bytes) and self._holdings.find(chunk) >= 0

    def __len__(self) -> int:
        return int(np.count_nonzero(self._holdings.records.holders >= 0))

    def __iter__(self) -> Iterator[ChunkId]:
        records = self._holdings.records
        for at in range(0, len(records.numbering), _PLACES_AT_ONCE):
            used = at + np.flatnonzero(records.holders[at : at + _PLACES_AT_ONCE] >= 0)
            yield from split_ids(records.numbering.ids(used))

    def values(self) -> ValuesView[Place]:
        return _Places(self)

    def places(self) -> Iterator[Place]:
        """Of all chunks, in their order."""
        records = self._holdings.records
        used = records.holders[records.holders >= 0]
        return self._holdings.places(records.records[used] if len(used) else used)


class _Places(ValuesView[Place]):
    _mapping: InUse

    def __iter__(self) -> Iterator[Place]:
        return self._mapping.places()
