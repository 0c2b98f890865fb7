"""The table of recipes: their numbers on disk, what runs them, and what they cost to decode.

A new way to keep a chunk is a number, a coder and a line in ``RECIPES``; the choice between recipes on encoding
is in :mod:`deltackpt.codec.choice`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from deltackpt.codec.coders import Cast, Coder, Delta, DeltaGrouped, DeltaScaled, Planes, Raw, Zstd
from deltackpt.codec.lanes import Lanes, lanes_of
from deltackpt.tensor.dtype import Element


class Recipe(enum.IntEnum):
    """How a chunk's payload was encoded. The numbers are on disk: never reuse or renumber one."""

    RAW = 0
    ZSTD = 1
    PLANES = 2
    DELTA = 3
    DELTA_GROUPED = 4
    DELTA_SCALED = 5
    CAST = 6


@dataclass(frozen=True, slots=True)
class RecipeEntry:
    """``base_size`` is the bytes of base for each plain byte: none for a keyframe, two for a cast, else one.

    ``cost`` is the nanoseconds to decode one plain byte on one core, by element width, the base not included:
    figures of ``python -m benchmarks.codec``, rounded. They steer the choice and are not on disk.
    """

    coder: Coder
    base_size: int
    cost: Mapping[int, float]

    @property
    def needs_base(self) -> bool:
        """Tells a delta from a keyframe."""
        return self.base_size > 0


# What a plain link costs at most: a base that leaves this much of the budget can always carry one.
LINK_COST = 1.0

RECIPES: Mapping[Recipe, RecipeEntry] = {
    Recipe.RAW: RecipeEntry(Raw(), 0, {1: 0.1, 2: 0.1, 4: 0.1, 8: 0.1}),
    Recipe.ZSTD: RecipeEntry(Zstd(), 0, {1: 1.1, 2: 1.1, 4: 1.1, 8: 1.1}),
    Recipe.PLANES: RecipeEntry(Planes(), 0, {1: 0.9, 2: 0.5, 4: 0.6, 8: 0.9}),
    Recipe.DELTA: RecipeEntry(Delta(), 1, {1: 1.0, 2: 0.7, 4: 0.9, 8: 0.9}),
    Recipe.DELTA_GROUPED: RecipeEntry(DeltaGrouped(), 1, {1: 9.0, 2: 2.3, 4: 2.5, 8: 2.5}),
    Recipe.DELTA_SCALED: RecipeEntry(DeltaScaled(), 1, {1: 1.3, 2: 1.3, 4: 1.3, 8: 1.3}),
    Recipe.CAST: RecipeEntry(Cast(), 2, {1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}),
}


def base_lanes(entry: RecipeEntry, element: Element, base: memoryview) -> Lanes:
    """The base's elements: those of the chunk, or twice as wide for a cast."""
    return lanes_of(base, Element.FLOAT32 if entry.base_size == 2 else element, "base")
