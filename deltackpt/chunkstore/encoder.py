"""From plain bytes to a record: choose the base, encode, keep the chain within its budget.

A link of a delta chain costs the same to decode however small its bytes are, so the limit is decode time,
not length. The chunk at the same place in the parent commit is the base while the budget allows one
more link on top of it; after that the keyframe at the foot of its chain, which starts a short chain anew; after
that none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deltackpt.chunkstore.location import Location
from deltackpt.chunkstore.pack_writer import Payload
from deltackpt.chunkstore.reader import ChunkReader, Locations
from deltackpt.chunkstore.record import MAX_RANK, Kind, Member, RecordHead
from deltackpt.chunkstore.scratch import scratch
from deltackpt.codec.encode import Base, encode
from deltackpt.codec.recipes import LINK_COST
from deltackpt.errors import CorruptError, NotFoundError
from deltackpt.ids import ChunkId
from deltackpt.tensor.dtype import Element
from deltackpt.tensor.source import TensorSource

Hint = ChunkId | None

# A slot that no walk along a chain uses.
BASE_SLOT = -1


@dataclass(frozen=True, slots=True)
class Candidate:
    """Chunks that may become the bases of a record, one for each member: their plain bytes one after another.

    ``cost`` is what decoding the dearest of them costs, in ns per plain byte; ``rank`` is the highest of theirs.
    """

    chunks: tuple[ChunkId, ...]
    plain: memoryview
    cost: float
    rank: int


def encode_record(
    kind: Kind,
    element: Element,
    members: tuple[Member, ...],
    plain: memoryview,
    candidates: Sequence[Candidate],
    budget: float,
) -> tuple[RecordHead, Payload]:
    """The smallest record of ``members``, whose plain bytes follow one another in ``plain``.

    ``budget`` is what decoding it may cost with its whole chain, in ns per plain byte.
    """
    encoded = encode(plain, element, [Base(c.plain, c.cost) for c in candidates], budget=budget)
    base = None if encoded.base is None else candidates[encoded.base]
    bases, rank = ((), 0) if base is None else (base.chunks, base.rank + 1)
    head = RecordHead(kind, encoded.recipe, element, rank, encoded.cost, encoded.size, members, bases)
    return head, encoded.payload


@dataclass(frozen=True, slots=True)
class WideChunk:
    """A chunk of float32 values. ``source`` is the tensor of the commit that is being made, None for the store's own.

    ``pending`` is its record when it is new.
    """

    chunk: ChunkId
    source: TensorSource | None
    pending: RecordHead | None

    def read(self, start: int, stop: int, known: Locations, reader: ChunkReader) -> Candidate | None:
        """The values of which plain bytes ``start`` to ``stop`` of a 16-bit tensor may be the rounded ones.

        None when the store has no such chunk any more, or cannot read it.
        """
        if self.pending is None and self.chunk not in known:
            known.update(reader.locate([self.chunk]))
        place = self.pending or known.get(self.chunk)
        if place is None:
            return None
        try:
            plain = reader.read(self.chunk, known) if self.source is None else self.source.read(2 * start, 2 * stop)
        except (CorruptError, NotFoundError):
            return None
        return Candidate((self.chunk,), plain, place.cost, place.rank)


class ChunkEncoder:
    """Encodes chunks against what the store holds. ``budget`` is in ns per plain byte of one chunk's whole chain.

    ``lost`` are the bases that could not be read, which costs nothing but their help.
    """

    def __init__(self, reader: ChunkReader, budget: float) -> None:
        self._reader = reader
        self._budget = budget
        self.lost: set[ChunkId] = set()

    def encode(
        self,
        chunk: ChunkId,
        plain: memoryview,
        element: Element,
        hint: Hint,
        known: Locations,
        wide: Candidate | None = None,
    ) -> tuple[RecordHead, Payload]:
        """A record of one chunk. ``hint`` is the chunk at the same place in the parent commit.

        ``wide`` holds the float32 values that the chunk may be rounded from.
        """
        base = self._base_for(hint, len(plain), known)
        with self._reader.cache.loan() as borrow:
            candidates = [] if wide is None or wide.rank >= MAX_RANK else [wide]
            if base is not None and (plain_base := self._plain(base, known, borrow(base))) is not None:
                candidates.append(Candidate((base,), plain_base, known[base].cost, known[base].rank))
            members = (Member(chunk, len(plain)),)
            return encode_record(Kind.DATA, element, members, plain, candidates, self._budget)

    def _plain(self, base: ChunkId, known: Locations, borrowed: memoryview | None) -> memoryview | None:
        """The base's plain bytes, hashed: a delta against damaged bytes would lose the new chunk too."""
        if borrowed is not None:
            return borrowed
        plain = scratch(BASE_SLOT, known[base].plain_length)
        try:
            self._reader.read_into(base, plain, known)
        except (CorruptError, NotFoundError):
            self.lost.add(base)
            return None
        return plain

    def _joined(self, bases: Sequence[ChunkId], known: Locations) -> memoryview | None:
        """The plain bytes of several bases, one after another."""
        pieces = []
        for base in bases:
            try:
                pieces.append(self._reader.read(base, known))
            except (CorruptError, NotFoundError):
                self.lost.add(base)
                return None
        return memoryview(b"".join(pieces))

    def encode_bundle(
        self,
        members: Sequence[tuple[ChunkId, bytes]],
        element: Element,
        hints: Sequence[Hint],
        known: Locations,
        kind: Kind = Kind.DATA,
    ) -> tuple[RecordHead, Payload]:
        """A record of several small chunks; a delta only when each has a base of its own length."""
        plain = memoryview(b"".join(data for _, data in members))
        chosen = [self._base_for(hint, len(data), known) for hint, (_, data) in zip(hints, members, strict=True)]
        there = tuple(base for base in chosen if base is not None)
        below = self._joined(there, known) if len(there) == len(members) else None
        candidates = []
        if below is not None:
            places = [known[base] for base in there]
            cost, rank = max(place.cost for place in places), max(place.rank for place in places)
            candidates = [Candidate(there, below, cost, rank)]
        parts = tuple(Member(chunk, len(data)) for chunk, data in members)
        return encode_record(kind, element, parts, plain, candidates, self._budget)

    def _base_for(self, hint: Hint, length: int, known: Locations) -> Hint:
        """The chunk to be the base of one at the place of ``hint``, or None."""
        place = known.get(hint) if hint is not None else None
        if hint is None or place is None or place.plain_length != length:
            return None
        if self._fits(place):
            return hint
        while place.base is not None:
            hint, place = place.base, known[place.base]
        # The chain of a cast ends in values that are twice as wide.
        return hint if place.plain_length == length and self._fits(place) else None

    def _fits(self, place: Location) -> bool:
        return place.cost + LINK_COST <= self._budget and place.rank < MAX_RANK
