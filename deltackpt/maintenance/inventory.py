"""What a commit holds, tensor by tensor, and how each is kept."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from deltackpt.checkout.leaves import NamedTensor, named_tensors
from deltackpt.chunkstore.location import Location
from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.errors import CorruptError, NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId
from deltackpt.skeleton.nodes import Reference
from deltackpt.skeleton.view import View
from deltackpt.tensor.dtype import DType


class Kept(enum.StrEnum):
    """How a chunk is kept, or a tensor all of whose chunks are kept alike."""

    WHOLE = "whole"
    DELTA = "delta"
    SHARED = "shared"
    INLINE = "inline"
    TIED = "tied"
    VIEW = "view"
    MIXED = "mixed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class InventoryRow:
    """One tensor of a commit under one of its names.

    ``stored_bytes`` is what its chunks occupy, whenever they were stored: chunks that share a record share its bytes
    in proportion to their plain size, tensors that share a chunk share it evenly, and views of memory without a name
    of its own share that in proportion. ``chunks`` counts its chunks by how they are kept: *shared* ones were in the
    parent commit already. ``recipes`` counts them by encoding, ``rank`` is the longest chain of deltas. A name *tied*
    to an earlier one (``tied_to``) occupies nothing, nor does a view of a tensor (``view_of``).
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
    view_of: str | None = None

    @property
    def kept(self) -> Kept:
        """The one way in which all chunks are kept, or MIXED."""
        return next(iter(self.chunks)) if len(self.chunks) == 1 else Kept.MIXED


def inventory(repository: Repository, commit: Commit) -> list[InventoryRow]:
    """Every tensor of ``commit``; reads manifests and the index, not data."""
    tensors = list(named_tensors(repository, commit))
    places = repository.reader.locate({chunk for tensor in tensors for chunk in tensor.stored.chunks})
    parent = _parent_chunks(repository, commit)
    ledger = _Ledger(places, parent, _shares(repository, tensors, places), _viewed(tensors))
    owners = {_entry(tensor): tensor.name for tensor in reversed(tensors) if tensor.leaf.view is None}
    first: dict[tuple[Reference, View | None], str] = {}
    rows = []
    for tensor in tensors:
        named = first.setdefault((_entry(tensor), tensor.leaf.view), tensor.name)
        if named != tensor.name:
            rows.append(_free(tensor, Kept.TIED, tied_to=named))
        elif tensor.leaf.view is not None and (owner := owners.get(_entry(tensor))) is not None:
            rows.append(_free(tensor, Kept.VIEW, view_of=owner))
        else:
            rows.append(ledger.row(tensor))
    return rows


def _entry(tensor: NamedTensor) -> Reference:
    return tensor.leaf.reference


def _viewed(tensors: Iterable[NamedTensor]) -> Mapping[Reference, int]:
    """Bytes of the different views of each stored tensor, overlapping ones counted each."""
    views = {(_entry(tensor), tensor.leaf.view): tensor.nbytes for tensor in tensors}
    found: dict[Reference, int] = {}
    for (entry, _), nbytes in views.items():
        found[entry] = found.get(entry, 0) + nbytes
    return found


def _parent_chunks(repository: Repository, commit: Commit) -> frozenset[ChunkId]:
    """Chunks of the first parent; none when it was dropped, or is damaged."""
    if not commit.parents:
        return frozenset()
    try:
        parent = repository.resolve(commit.parents[0])
        parts = [repository.manifests.part(entry.id) for entry in parent.parts]
    except (CorruptError, NotFoundError):
        return frozenset()
    return frozenset(chunk for part in parts for tensor in part.tensors for chunk in tensor.chunks)


def _shares(
    repository: Repository, tensors: Iterable[NamedTensor], places: Mapping[ChunkId, Location]
) -> dict[ChunkId, float]:
    """What one use of each chunk occupies."""
    stored = {id(tensor.stored): tensor.stored for tensor in tensors}.values()
    uses = Counter(chunk for tensor in stored for chunk in tensor.chunks if chunk in places)
    return {chunk: repository.reader.share(chunk, places[chunk]) / count for chunk, count in uses.items()}


def _free(tensor: NamedTensor, kept: Kept, *, tied_to: str | None = None, view_of: str | None = None) -> InventoryRow:
    """A name whose bytes are those of another."""
    form = (tensor.name, tensor.part, tensor.dtype, tensor.shape, tensor.nbytes)
    return InventoryRow(*form, 0, {kept: 1}, {}, 0, tied_to, view_of)


@dataclass(frozen=True, slots=True)
class _Ledger:
    """Where the chunks of a commit are, which of them its parent had, and what each use of one occupies.

    ``viewed`` are the bytes of all views of a stored tensor.
    """

    places: Mapping[ChunkId, Location]
    parent: frozenset[ChunkId]
    shares: Mapping[ChunkId, float]
    viewed: Mapping[Reference, int]

    def row(self, tensor: NamedTensor) -> InventoryRow:
        stored = tensor.stored
        form = (tensor.name, tensor.part, tensor.dtype, tensor.shape, tensor.nbytes)
        part = tensor.nbytes / max(self.viewed[_entry(tensor)], 1)
        if stored.inline is not None:
            return InventoryRow(*form, round(len(stored.inline) * part), {Kept.INLINE: 1}, {}, 0)
        places = [self.places[chunk] for chunk in stored.chunks if chunk in self.places]
        return InventoryRow(
            *form,
            round(sum(self.shares.get(chunk, 0.0) for chunk in stored.chunks) * part),
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
