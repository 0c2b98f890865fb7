"""The table of recipes: their numbers on disk, what runs them, and what they cost to decode.

A new way to keep a chunk is a number, a coder and a line in ``RECIPES``; the choice between recipes on encoding
is in :mod:`deltackpt.codec.choice`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from deltackpt.codec.coders import Coder, Delta, DeltaGrouped, Planes, Raw, Zstd


class Recipe(enum.IntEnum):
    """How a chunk's payload was encoded. The numbers are on disk: never reuse or renumber one."""

    RAW = 0
    ZSTD = 1
    PLANES = 2
    DELTA = 3
    DELTA_GROUPED = 4


@dataclass(frozen=True, slots=True)
class RecipeEntry:
    """``needs_base`` tells a delta from a keyframe.

    ``cost`` is the nanoseconds to decode one plain byte on one core, by element width, the base not included:
    figures of ``python -m benchmarks.codec``, rounded. They steer the choice and are not on disk.
    """

    coder: Coder
    needs_base: bool
    cost: Mapping[int, float]


# What a plain link costs at most: a base that leaves this much of the budget can always carry one.
LINK_COST = 1.0

RECIPES: Mapping[Recipe, RecipeEntry] = {
    Recipe.RAW: RecipeEntry(Raw(), False, {1: 0.1, 2: 0.1, 4: 0.1, 8: 0.1}),
    Recipe.ZSTD: RecipeEntry(Zstd(), False, {1: 1.1, 2: 1.1, 4: 1.1, 8: 1.1}),
    Recipe.PLANES: RecipeEntry(Planes(), False, {1: 0.9, 2: 0.5, 4: 0.6, 8: 0.9}),
    Recipe.DELTA: RecipeEntry(Delta(), True, {1: 1.0, 2: 0.7, 4: 0.9, 8: 0.9}),
    Recipe.DELTA_GROUPED: RecipeEntry(DeltaGrouped(), True, {1: 9.0, 2: 2.3, 4: 2.5, 8: 2.5}),
}
