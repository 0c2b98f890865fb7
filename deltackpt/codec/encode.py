"""Plain bytes to payload: which recipe, against which base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deltackpt.codec.base import Base
from deltackpt.codec.choice import DEFAULT_BUDGET, Trial, choose
from deltackpt.codec.coders import Chunk
from deltackpt.codec.payload import Piece
from deltackpt.codec.recipes import RECIPES, Recipe, base_lanes
from deltackpt.tensor.dtype import Element

__all__ = ["DEFAULT_BUDGET", "Base", "Encoded", "encode"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A chunk ready to be written.

    ``payload``: pieces to be written one after another, ``size`` bytes in all. They are the caller's to keep; for
    RAW the only piece is the plain view that was passed in. ``base``: index of the base among the candidates, None
    for a keyframe. ``cost``: estimated nanoseconds to decode one plain byte, base included.
    """

    recipe: Recipe
    payload: tuple[Piece, ...]
    size: int
    base: int | None
    cost: float


def encode(
    plain: memoryview, element: Element, bases: Sequence[Base] = (), *, budget: float = DEFAULT_BUDGET
) -> Encoded:
    """The smallest payload of ``plain`` whose estimated decode cost, base included, is within ``budget`` ns a byte.

    A cheaper recipe is taken when it is hardly larger. A base is as long as the chunk, or twice as long: then it is
    float32 values of which the chunk may be the rounded ones, which has no budget. Other bases are ignored; without
    one that the budget allows the chunk becomes a keyframe. Never larger than the plain bytes. Deterministic for one
    version of zstd. Nothing passed in is kept, but for RAW's view. Safe from several threads.
    """
    chunk = Chunk.of(plain.cast("B"), element)
    encoded = encode_as(chunk, choose(chunk, bases, budget), bases)
    return encoded if encoded.size < plain.nbytes else whole(chunk)


def encode_as(chunk: Chunk, trial: Trial, bases: Sequence[Base]) -> Encoded:
    """Run the recipe of ``trial``, whatever its size."""
    entry = RECIPES[trial.recipe]
    base = None if trial.base is None else base_lanes(entry, chunk.element, bases[trial.base].plain)
    pieces = entry.coder.encode(chunk, base, trial.advice)
    payload = tuple(piece for piece in pieces if len(piece))
    return Encoded(trial.recipe, payload, sum(map(len, payload)), trial.base, trial.cost)


def whole(chunk: Chunk) -> Encoded:
    """The chunk as it is."""
    cost = RECIPES[Recipe.RAW].cost[chunk.element.width]
    return Encoded(Recipe.RAW, (chunk.plain,), len(chunk.plain), None, cost)
