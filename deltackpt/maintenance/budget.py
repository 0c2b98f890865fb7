"""Fitting a store into so many bytes: how many of the candidates must go, and how large the store is then.

Candidates stand in the order in which they go.

1. One walk sorts all chunks by the last candidate that needs them, from what never goes back to what goes first, so
   that each manifest is read once.
2. The shortest beginning of the list that is enough is found by bisection: each time gc plans with the chunks that
   would be left, which reads nothing any more.
3. By another bisection, whether fewer are enough when deltas leave the bases that go: what that makes room for is known
   when they have been encoded, which takes a while, but where newer commits stand on older ones it is nearly all.
   What would not fit if all that takes no bytes need not be tried.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.history.manifest import Manifests
from deltackpt.history.objects import Group, Part, decode, split_chunks
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId
from deltackpt.maintenance.chunk_set import ChunkSet
from deltackpt.maintenance.gc import Collector
from deltackpt.maintenance.mark import Deleted, Marks
from deltackpt.maintenance.records import Records


def occupied_bytes(store: ChunkStore) -> int:
    """Bytes of packs, parity, log and what is being written: what a budget counts. A gc frees some of these."""
    disk, layout = store.disk, store.layout
    shelves = [os.path.join(room, name) for room in (layout.packs, layout.parities) for name in disk.names(room)]
    total = store.log.size()
    for folder in (layout.tmp, *shelves):
        for name in disk.names(folder):
            try:
                total += disk.size(os.path.join(folder, name))
            except FileNotFoundError:
                continue
    return total


def enough_to_fit(
    repository: Repository, gone: Collection[Deleted], candidates: Sequence[Sequence[Deleted]], limit: int
) -> int:
    """How many of ``candidates``, from the first on, must go besides ``gone`` to leave ``limit`` bytes after a gc.

    All of them when that is not enough either. Changes nothing.
    """
    occupied = occupied_bytes(repository.chunks)
    collector = Collector(repository, what_if=gone, rebases=False)
    if occupied - collector.plan().freed_bytes <= limit:
        return 0
    chunks = _sorted_by_need(collector, candidates)
    reached = collector.marks

    def needed(count: int) -> ChunkSet:
        return ChunkSet.of(collector.survey.holdings.records.numbering, chain(*chunks[count:]))

    def fits(count: int) -> bool:
        marked = (set(reached.commits), set(reached.passed_over))
        collector.marks = Marks(repository.manifests, collector.survey.holdings, needed(count), *marked)
        return occupied - collector.plan_as_seen().freed_bytes <= limit

    def may_fit(count: int) -> bool:
        return _held_bytes(collector.survey.holdings.records, needed(count)) <= limit

    enough = bisect_left(range(len(candidates)), True, key=fits)
    least = bisect_left(range(enough), True, key=may_fit)
    collector.rebases = True
    return bisect_left(range(enough), True, least, key=fits)


def _held_bytes(records: Records, chunks: ChunkSet) -> int:
    """Bytes of the records that hold ``chunks``, without what those stand on."""
    holding = records.holding(np.flatnonzero(chunks.mask()))
    return int(records.stored_lengths[np.unique(holding[holding >= 0])].sum())


def _sorted_by_need(collector: Collector, candidates: Sequence[Sequence[Deleted]]) -> list[list[ChunkId]]:
    """For each candidate the chunks that it needs and no later one does; last, those that are needed for ever."""
    places = {piece: at for at, candidate in enumerate(candidates) for piece in candidate}
    chunks: list[list[ChunkId]] = [[] for _ in range(len(candidates) + 1)]
    parts: list[list[ChunkId]] = [[] for _ in chunks]
    for commit in collector.marks.commits:
        deleted = collector.deleted(commit)
        if None not in deleted:
            whole = places.get((commit, None), len(candidates))
            stored = collector.survey.commits[commit]
            chunks[whole] += [ChunkId(data) for data in (stored.environment, stored.config, stored.meta) if data]
            for part in stored.parts:
                if part.name not in deleted:
                    parts[min(whole, places.get((commit, part.name), whole))].append(ChunkId(part.id))
    walk = _Walk(collector.repository.manifests)
    for at in reversed(range(len(chunks))):
        chunks[at] += [chunk for part in parts[at] for chunk in walk.below(part)]
    return chunks


@dataclass(frozen=True, slots=True)
class _Walk:
    """Yields what parts are made of; what was walked once is passed over."""

    manifests: Manifests
    _walked: set[ChunkId] = field(default_factory=set)

    def below(self, identity: ChunkId) -> Iterator[ChunkId]:
        if identity in self._walked:
            return
        self._walked.add(identity)
        part = decode(self.manifests.object(identity), Part)
        yield from (identity, *part.skeletons)
        for group in map(ChunkId, part.groups):
            if group not in self._walked:
                self._walked.add(group)
                found = decode(self.manifests.object(group), Group)
                yield from (group, ChunkId(found.layout))
                yield from split_chunks(found.chunks)
