"""The savings report: what was committed, what is stored, and where the difference went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from deltackpt.chunkstore.heads import join_ids
from deltackpt.chunkstore.location import Location
from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.errors import CorruptError, NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.objects import PartEntry
from deltackpt.history.repository import Repository
from deltackpt.history.walk import all_commits
from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.gc import Collector
from deltackpt.maintenance.numbering import Numbering
from deltackpt.maintenance.parity.shelf import parity_bytes

Progress = Callable[[int], None]


@dataclass(slots=True)
class PartStats:
    """One part over all commits: plain bytes committed, plain bytes of its distinct chunks, and what is stored of them.

    A chunk that several parts share counts for the first. The savings add up: ``logical - dedup - deltas - planes =
    stored``.
    """

    logical_bytes: int = 0
    unique_bytes: int = 0
    stored_bytes: int = 0
    delta_saved: int = 0

    @property
    def dedup_saved(self) -> int:
        """What was not stored twice."""
        return self.logical_bytes - self.unique_bytes

    @property
    def planes_saved(self) -> int:
        """What splitting into planes and compressing left out of chunks that are no deltas."""
        return self.unique_bytes - self.delta_saved - self.stored_bytes


@dataclass(slots=True)
class Stats:
    """Bytes of a whole store. The savings add up: ``logical - dedup - deltas - planes = data_bytes``.

    ``disk_bytes`` is every byte of packs, parity and log; ``garbage_bytes`` what a gc would free, None when it would
    refuse. ``unreadable`` counts parts of commits that are damaged and left out. ``max_rank`` is the longest chain of
    deltas, ``decode_ns`` the estimated time to decode one plain byte of the newest commit on one core.
    """

    commits: int = 0
    unreadable: int = 0
    garbage_bytes: int | None = None
    disk_bytes: int = 0
    packs: int = 0
    records: int = 0
    chunks: int = 0
    max_rank: int = 0
    decode_ns: float = 0.0
    parts: dict[str, PartStats] = field(default_factory=dict)

    @property
    def total(self) -> PartStats:
        """All parts together."""
        names = ("logical_bytes", "unique_bytes", "stored_bytes", "delta_saved")
        return PartStats(*(sum(getattr(part, name) for part in self.parts.values()) for name in names))

    @property
    def logical_bytes(self) -> int:
        return self.total.logical_bytes

    @property
    def dedup_saved(self) -> int:
        return self.total.dedup_saved

    @property
    def delta_saved(self) -> int:
        return self.total.delta_saved

    @property
    def planes_saved(self) -> int:
        return self.total.planes_saved

    @property
    def data_bytes(self) -> int:
        return self.total.stored_bytes

    @property
    def ratio(self) -> float:
        """Plain bytes committed for each byte on disk."""
        return self.logical_bytes / self.disk_bytes if self.disk_bytes else 0.0


def stats(repository: Repository, progress: Progress | None = None) -> Stats:
    """Add everything up; reads manifests and the frames of packs, not data. ``progress`` hears of plain bytes."""
    found = Stats()
    census = _Census(repository, found)
    commits = list(all_commits(repository))
    for commit in commits:
        found.commits += 1
        for entry in commit.parts:
            census.add(entry)
            if progress is not None:
                progress(entry.nbytes)
    census.settle()
    _add_disk(repository, found)
    if commits:
        found.decode_ns = _decode_time(repository, commits[-1])
    return found


@dataclass(slots=True)
class _Census:
    """Counts the distinct chunks of parts, each for the part that had it first."""

    repository: Repository
    found: Stats
    _walked: set[bytes] = field(default_factory=set)
    _seen: Numbering = field(default_factory=Numbering)
    _record_lengths: dict[tuple[PackId, int], int] = field(default_factory=dict)
    _stored: dict[str, float] = field(default_factory=dict)
    _delta_saved: dict[str, float] = field(default_factory=dict)

    def add(self, entry: PartEntry) -> None:
        tensors = self._tensors(entry)
        if tensors is None:
            self.found.unreadable += 1
            return
        part = self.found.parts.setdefault(entry.name, PartStats())
        part.logical_bytes += entry.nbytes
        new = self._new([chunk for tensor in tensors for chunk in tensor.chunks])
        for chunk, place in self.repository.reader.locate(new).items():
            # Bases come along, which may be of no commit any more.
            if chunk in new:
                self._count(entry.name, chunk, place)
        self._count_inline(part, entry.name, tensors)

    def _new(self, chunks: Sequence[ChunkId]) -> set[ChunkId]:
        known = len(self._seen)
        numbers = self._seen.number(join_ids(chunks))
        return {chunks[at] for at in np.flatnonzero(numbers >= known).tolist()}

    def _tensors(self, entry: PartEntry) -> tuple[StoredTensor, ...] | None:
        """The tensors of a part, none when it was here before; None when it cannot be read."""
        if entry.id not in self._walked:
            try:
                tensors = self.repository.manifests.part(entry.id).tensors
            except (CorruptError, NotFoundError):
                return None
            self._walked.add(entry.id)
            return tensors
        return ()

    def settle(self) -> None:
        """Every part was added: round what was counted."""
        for name, part in self.found.parts.items():
            part.stored_bytes = round(self._stored.get(name, 0))
            part.delta_saved = round(self._delta_saved.get(name, 0))

    def _count(self, name: str, chunk: ChunkId, place: Location) -> None:
        share = self._share(chunk, place)
        self.found.chunks += 1
        self.found.parts[name].unique_bytes += place.plain_length
        self.found.max_rank = max(self.found.max_rank, place.rank)
        self._stored[name] = self._stored.get(name, 0) + share
        if RECIPES[Recipe(place.recipe)].needs_base:
            self._delta_saved[name] = self._delta_saved.get(name, 0) + place.plain_length - share

    def _share(self, chunk: ChunkId, place: Location) -> float:
        """As the reader has it, who would look at a record again for each chunk that shares it."""
        if place.members == 1:
            return place.stored_length
        key = (place.pack, place.offset)
        if key not in self._record_lengths:
            self._record_lengths[key] = self.repository.reader.record_length(chunk, place)
        return place.stored_length * place.plain_length / self._record_lengths[key]

    def _count_inline(self, part: PartStats, name: str, tensors: tuple[StoredTensor, ...]) -> None:
        inline = sum(len(tensor.inline) for tensor in tensors if tensor.inline is not None)
        part.unique_bytes += inline
        self._stored[name] = self._stored.get(name, 0) + inline


def _add_disk(repository: Repository, found: Stats) -> None:
    chunks = repository.chunks
    packs = chunks.look(lambda view: view.packs())
    found.packs = len(packs)
    found.records = chunks.log.length()
    found.disk_bytes = sum(row.size for row in packs.values()) + chunks.log.size()
    found.disk_bytes += parity_bytes(chunks.disk, chunks.layout)
    try:
        found.garbage_bytes = Collector(repository, rebases=False).plan().freed_bytes
    except (CorruptError, NotFoundError):
        found.garbage_bytes = None


def _decode_time(repository: Repository, commit: Commit) -> float:
    """Estimated ns to decode one plain byte of ``commit``, averaged over its chunks; 0 when it is damaged."""
    try:
        tensors = [t for entry in commit.parts for t in repository.manifests.part(entry.id).tensors]
    except (CorruptError, NotFoundError):
        return 0.0
    ids = [chunk for tensor in tensors for chunk in tensor.chunks]
    places = repository.reader.locate(ids)
    sizes = [(places[chunk].plain_length, places[chunk].cost) for chunk in ids if chunk in places]
    total = sum(size for size, _ in sizes)
    return sum(size * cost for size, cost in sizes) / total if total else 0.0
