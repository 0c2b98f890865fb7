"""What a commit holds, tensor by tensor, and how each is kept."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from deltackpt.checkout.leaves import NamedTensor, named_tensors
from deltackpt.chunkstore.location import Location
from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.errors import NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, PackId
from deltackpt.tensor.dtype import DType


class Kept(enum.StrEnum):
    """How a chunk is kept, or a tensor all of whose chunks are kept alike."""

    WHOLE = "whole"
    DELTA = "delta"
    SHARED = "shared"
    INLINE = "inline"
    TIED = "tied"
    MIXED = "mixed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class InventoryRow:
    """One tensor of a commit under one of its names.

    ``stored_bytes`` is what its chunks occupy, whenever they were stored: chunks that share a record share its bytes
    in proportion to their plain size, and tensors that share a chunk share it evenly. The rows of a commit add
    up to the records behind its tensors. ``chunks`` counts its chunks by how they are kept: *shared* ones were
    in the parent commit already. ``recipes`` counts them by encoding, ``rank`` is the longest chain of deltas.
    A name *tied* to an earlier one (``tied_to``) occupies nothing.
    """

    name: str
    part: str
    dtype: DType
    shape: tuple[int, ...]
    plain_bytes: int
    stored_bytes: int
    chunks: Mapping[Kept, int]
    recipes: Mapping[str, int]
    rank: int
    tied_to: str | None = None

    @property
    def kept(self) -> Kept:
        """The one way in which all chunks are kept, or MIXED."""
        return next(iter(self.chunks)) if len(self.chunks) == 1 else Kept.MIXED


def inventory(repository: Repository, commit: Commit) -> list[InventoryRow]:
    """Every tensor of ``commit``; reads manifests and the index, not data."""
    tensors = list(named_tensors(repository, commit))
    places = repository.reader.locate({chunk for tensor in tensors for chunk in tensor.stored.chunks})
    parent = _parent_chunks(repository, commit)
    ledger = _Ledger(places, parent, _shares(tensors, places))
    first: dict[tuple[str, int], str] = {}
    rows = []
    for tensor in tensors:
        entry = (tensor.leaf.reference.part, tensor.leaf.reference.index)
        owner = first.setdefault(entry, tensor.name)
        rows.append(ledger.row(tensor) if owner == tensor.name else _tied(tensor, owner))
    return rows


def _parent_chunks(repository: Repository, commit: Commit) -> frozenset[ChunkId]:
    """Chunks of the first parent; none when it was dropped."""
    if not commit.parents:
        return frozenset()
    try:
        parent = repository.resolve(commit.parents[0])
    except NotFoundError:
        return frozenset()
    parts = (repository.manifests.part(entry.id) for entry in parent.parts)
    return frozenset(chunk for part in parts for tensor in part.tensors for chunk in tensor.chunks)


def _shares(tensors: Iterable[NamedTensor], places: Mapping[ChunkId, Location]) -> dict[ChunkId, float]:
    """What one use of each chunk occupies."""
    stored = {id(tensor.stored): tensor.stored for tensor in tensors}.values()
    uses = Counter(chunk for tensor in stored for chunk in tensor.chunks if chunk in places)
    records: dict[tuple[PackId, int], int] = {}
    for place in (places[chunk] for chunk in uses):
        records[place.pack, place.offset] = records.get((place.pack, place.offset), 0) + place.plain_length
    return {chunk: _share(places[chunk], records) / count for chunk, count in uses.items()}


def _share(place: Location, records: Mapping[tuple[PackId, int], int]) -> float:
    return place.stored_length * place.plain_length / (records[place.pack, place.offset] or 1)


def _tied(tensor: NamedTensor, owner: str) -> InventoryRow:
    return InventoryRow(
        tensor.name, tensor.part, tensor.dtype, tensor.shape, tensor.nbytes, 0, {Kept.TIED: 1}, {}, 0, owner
    )


@dataclass(frozen=True, slots=True)
class _Ledger:
    """Where the chunks of a commit are, which of them its parent had, and what each use of one occupies."""

    places: Mapping[ChunkId, Location]
    parent: frozenset[ChunkId]
    shares: Mapping[ChunkId, float]

    def row(self, tensor: NamedTensor) -> InventoryRow:
        stored = tensor.stored
        form = (tensor.name, tensor.part, tensor.dtype, tensor.shape, tensor.nbytes)
        if stored.inline is not None:
            return InventoryRow(*form, len(stored.inline), {Kept.INLINE: 1}, {}, 0)
        places = [self.places[chunk] for chunk in stored.chunks if chunk in self.places]
        return InventoryRow(
            *form,
            round(sum(self.shares.get(chunk, 0.0) for chunk in stored.chunks)),
            dict(Counter(self._kept(stored))),
            dict(Counter(Recipe(place.recipe).name.lower().replace("_", " ") for place in places)),
            max((place.rank for place in places), default=0),
        )

    def _kept(self, stored: StoredTensor) -> Iterator[Kept]:
        for chunk in stored.chunks:
            place = self.places.get(chunk)
            if place is None:
                yield Kept.MISSING
            elif chunk in self.parent:
                yield Kept.SHARED
            else:
                yield Kept.DELTA if RECIPES[Recipe(place.recipe)].needs_base else Kept.WHOLE
