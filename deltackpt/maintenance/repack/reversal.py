"""A block encoded anew, from its newest record back: the newest is whole, each older one a delta on the next.

What training reads is mostly the newest, and the best. Those *favoured* stand at the foot of a chain or one link above,
others as far up as the budget allows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field

from deltackpt.chunkstore.record import Member
from deltackpt.codec.recipes import LINK_COST, Recipe
from deltackpt.errors import CorruptError, NotFoundError
from deltackpt.ids import ChunkId
from deltackpt.maintenance.holdings import Place
from deltackpt.maintenance.reencode import Footing, Reencoded, Reencoder
from deltackpt.maintenance.repack.columns import Block, Column

# ns a plain byte: a whole chunk, and one link on it.
FAVOURED_BUDGET = 2 * LINK_COST
# What cheaper reading may add to the size of a block, and what a better encoding must take from it.
_GROWTH = 1.10
_GAIN = 0.97


@dataclass(slots=True)
class Reversal:
    """``favoured`` are chunks of commits that must be cheap to read; ``budget`` is what others may cost.

    ``live`` are all records that commits need. ``recompress`` takes every block that becomes smaller; otherwise only
    those that are dear to read are taken.
    """

    reencoder: Reencoder
    favoured: Collection[ChunkId]
    live: InitVar[Iterable[Place]]
    budget: float
    recompress: bool
    _above: dict[ChunkId, list[Place]] = field(default_factory=dict)

    def __post_init__(self, live: Iterable[Place]) -> None:
        for place in live:
            for base in place.entry.head.bases:
                self._above.setdefault(base, []).append(place)

    def planned(self, block: Block) -> list[Reencoded]:
        """The records of the block, encoded anew.

        None when it is to stay as it is, when one of it cannot be read, or when others have changed it.
        """
        if not all(len(self.reencoder.members(place)) == col.width for col in block.columns for place in col.records):
            return []
        dear = any(self._is_dear(place) for place in block.records())
        if not dear and not self.recompress:
            return []
        done: list[Reencoded] = []
        try:
            for column in block.columns:
                self._column(column, done)
        except (CorruptError, NotFoundError):
            self.reencoder.take_back(done)
            return []
        before = sum(record.place.entry.head.stored_length for record in done)
        after = sum(record.head.stored_length for record in done)
        if after <= before * (_GROWTH if dear else _GAIN) and self._carries(done):
            return done
        self.reencoder.take_back(done)
        return []

    def _carries(self, done: Sequence[Reencoded]) -> bool:
        """Whether what stands on the records from outside of the block can go on to."""
        inside = {id(record.place.entry) for record in done}
        above = ((record, place) for record in done for m in record.head.members for place in self._above.get(m.id, []))
        return all(id(p.entry) in inside or p.entry.head.rank > record.head.rank for record, p in above)

    def _is_dear(self, place: Place) -> bool:
        """What is rounded from other values is as dear as they are, and cannot be made cheaper by itself."""
        head = place.entry.head
        return head.cost > FAVOURED_BUDGET and head.recipe != Recipe.CAST and self._is_favoured(place)

    def _is_favoured(self, place: Place) -> bool:
        return any(member.id in self.favoured for member in place.entry.head.members)

    def _column(self, column: Column, done: list[Reencoded]) -> None:
        at_hand = {member.id for record in done for member in record.head.members}
        above: dict[ChunkId, ChunkId] = {}
        newer: Place | None = None
        for place in reversed(column.records):
            members = self.reencoder.members(place)
            budget = FAVOURED_BUDGET if self._is_favoured(place) else self.budget
            others = self._others(place, members, at_hand)
            rows = [[above.get(member.id) for member in members], others]
            if newer is not None:
                rows.append([member.id for member in self.reencoder.members(newer)])
            footings = [footing for row in rows if (footing := self._affordable(row, members, budget)) is not None]
            # Reading the values that a record is rounded from is no part of its budget, as when it was made.
            if (rounded := self.reencoder.footing(others, members, times=2)) is not None:
                footings.append(rounded)
            done.append(self.reencoder.plan(place, footings, budget))
            above.update(self._bases(place, members))
            newer = place

    @staticmethod
    def _bases(place: Place, members: Sequence[Member]) -> Mapping[ChunkId, ChunkId]:
        """What each member stood on, and now may stand on the member."""
        bases = ((member.id, place.entry.head.base_of(member.id)) for member in members)
        return {base: chunk for chunk, base in bases if base is not None}

    @staticmethod
    def _others(place: Place, members: Sequence[Member], at_hand: Collection[ChunkId]) -> list[ChunkId | None]:
        """Bases in columns that are done."""
        found = (place.entry.head.base_of(member.id) for member in members)
        return [base if base in at_hand else None for base in found]

    def _affordable(self, row: Sequence[ChunkId | None], members: Sequence[Member], budget: float) -> Footing | None:
        """The row, or what stands at the foot of it when one more link on it would be too dear."""
        footing = self.reencoder.footing(row, members)
        if footing is not None and footing.cost + LINK_COST > budget:
            footing = self.reencoder.footing([self._foot(chunk) for chunk in footing.chunks], members)
        return footing

    def _foot(self, chunk: ChunkId) -> ChunkId:
        while (base := self.reencoder.head(chunk).base_of(chunk)) is not None:
            chunk = base
        return chunk
