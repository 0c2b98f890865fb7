"""The savings report: what was committed, what is stored, and where the difference went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from deltackpt.chunkstore.location import Location
from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.history.commits import Commit
from deltackpt.history.objects import PartEntry
from deltackpt.history.repository import Repository
from deltackpt.history.walk import all_commits
from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.gc import Collector


@dataclass(slots=True)
class PartStats:
    """One part over all commits: plain bytes committed, plain bytes of its distinct chunks, and their stored bytes.

    A chunk that several parts share counts for the first.
    """

    logical_bytes: int = 0
    unique_bytes: int = 0
    stored_bytes: int = 0


@dataclass(slots=True)
class Stats:
    """Bytes of a whole store. The savings add up: ``logical - dedup - deltas - planes = data_bytes``.

    ``disk_bytes`` is every byte of packs and log; ``garbage_bytes`` what a gc would free. ``max_rank`` is the longest
    chain of deltas, ``decode_ns`` the estimated time to decode one plain byte of the newest commit on one core.
    """

    commits: int = 0
    logical_bytes: int = 0
    dedup_saved: int = 0
    delta_saved: int = 0
    planes_saved: int = 0
    data_bytes: int = 0
    garbage_bytes: int = 0
    disk_bytes: int = 0
    packs: int = 0
    records: int = 0
    chunks: int = 0
    max_rank: int = 0
    decode_ns: float = 0.0
    parts: dict[str, PartStats] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Plain bytes committed for each byte on disk."""
        return self.logical_bytes / self.disk_bytes if self.disk_bytes else 0.0


def stats(repository: Repository) -> Stats:
    """Add everything up; reads manifests and the frames of packs, not data."""
    found = Stats()
    census = _Census(repository)
    commits = list(all_commits(repository))
    for commit in commits:
        found.commits += 1
        found.logical_bytes += commit.logical_bytes
        for entry in commit.parts:
            census.add(entry)
    found.parts = census.parts
    _add_savings(found, census)
    _add_disk(repository, found)
    if commits:
        found.decode_ns = _decode_time(repository, commits[-1])
    return found


@dataclass(slots=True)
class _Census:
    """Distinct chunks of the parts seen so far, each with the part that had it first."""

    repository: Repository
    parts: dict[str, PartStats] = field(default_factory=dict)
    chunks: dict[ChunkId, tuple[Location, str]] = field(default_factory=dict)
    inline_bytes: int = 0
    _walked: set[bytes] = field(default_factory=set)

    def add(self, entry: PartEntry) -> None:
        into = self.parts.setdefault(entry.name, PartStats())
        into.logical_bytes += entry.nbytes
        if entry.id in self._walked:
            return
        self._walked.add(entry.id)
        tensors = self.repository.manifests.part(entry.id).tensors
        new = [chunk for tensor in tensors for chunk in tensor.chunks if chunk not in self.chunks]
        places = self.repository.reader.locate(new)
        self.chunks.update((chunk, (places[chunk], entry.name)) for chunk in new if chunk in places)
        inline = sum(len(tensor.inline) for tensor in tensors if tensor.inline is not None)
        into.unique_bytes += inline
        into.stored_bytes += inline
        self.inline_bytes += inline

    def stored(self) -> Iterator[tuple[Location, str, float]]:
        """Each chunk's location and part, and its share of its record's bytes."""
        plain: dict[tuple[PackId, int], int] = {}
        for place, _ in self.chunks.values():
            key = (place.pack, place.offset)
            plain[key] = plain.get(key, 0) + place.plain_length
        for place, part in self.chunks.values():
            yield place, part, place.stored_length * place.plain_length / plain[place.pack, place.offset]


def _add_savings(found: Stats, census: _Census) -> None:
    found.chunks = len(census.chunks)
    unique = census.inline_bytes
    stored = float(census.inline_bytes)
    delta_saved = 0.0
    shares: dict[str, float] = {}
    for place, part, share in census.stored():
        unique += place.plain_length
        stored += share
        census.parts[part].unique_bytes += place.plain_length
        shares[part] = shares.get(part, 0.0) + share
        found.max_rank = max(found.max_rank, place.rank)
        if RECIPES[Recipe(place.recipe)].needs_base:
            delta_saved += place.plain_length - share
    for part, share in shares.items():
        census.parts[part].stored_bytes += round(share)
    found.data_bytes = round(stored)
    found.dedup_saved = found.logical_bytes - unique
    found.delta_saved = round(delta_saved)
    found.planes_saved = unique - found.data_bytes - found.delta_saved


def _add_disk(repository: Repository, found: Stats) -> None:
    chunks = repository.chunks
    packs = chunks.look(lambda view: view.packs())
    found.packs = len(packs)
    found.records = chunks.log.length()
    found.disk_bytes = sum(row.size for row in packs.values()) + chunks.log.size()
    found.garbage_bytes = Collector(repository).plan().freed_bytes


def _decode_time(repository: Repository, commit: Commit) -> float:
    """Estimated ns to decode one plain byte of ``commit``, averaged over its chunks."""
    tensors = [t for entry in commit.parts for t in repository.manifests.part(entry.id).tensors]
    ids = [chunk for tensor in tensors for chunk in tensor.chunks]
    places = repository.reader.locate(ids)
    sizes = [(places[chunk].plain_length, places[chunk].cost) for chunk in ids if chunk in places]
    total = sum(size for size, _ in sizes)
    return sum(size * cost for size, cost in sizes) / total if total else 0.0
