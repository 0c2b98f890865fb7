"""Which recipe a chunk gets: every recipe is judged on a sample, the best one is run once.

Size is not all: a delta costs its reader time for as long as it is kept, and its base's time too. So

* a candidate whose estimated decode time, base included, is beyond the *budget* is out (a keyframe never is);
* of the others the lowest *score* wins: a nanosecond a byte must save a few percent of what is left to store,
  and a little of the plain size where hardly anything is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deltackpt.codec import planes
from deltackpt.codec.base import Base
from deltackpt.codec.coders import NO_ADVICE, Advice, Chunk
from deltackpt.codec.estimate import estimate_planes, estimate_whole, sample_of
from deltackpt.codec.grouping import Grouping, exponents
from deltackpt.codec.grouping_gain import grouping_gain
from deltackpt.codec.lanes import Lanes, lanes_of
from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.codec.residual import subtract
from deltackpt.codec.rounding import ROUNDED, rounded
from deltackpt.codec.scaling import fitting_scale, scaled
from deltackpt.codec.scratch import scratch
from deltackpt.tensor.dtype import Element

# Decode time of one byte, in nanoseconds, that no chunk exceeds: two cores then read 500 MB/s of the worst.
DEFAULT_BUDGET = 4.0
# One nanosecond a byte must save this part of the size left, to which a part of the plain size is added: below that
# nobody notices the bytes, but still the time. Figures in docs/design/recipes.md.
PRICE = 0.03
FLOOR = 0.05
# Below these sizes headers outweigh what is gained; figures in docs/design/recipes.md.
_LEAST_CHUNK = 64
_LEAST_GROUPED_CHUNK = 128 << 10
# Of what a plain link leaves, by element width: no kind of training data gained more.
_GREATEST_GROUPING_GAIN = {1: 0.6, 2: 0.6, 4: 0.08, 8: 0.08}


@dataclass(frozen=True, slots=True)
class Trial:
    """One recipe judged: ``fraction`` of the plain size left, decode ``cost`` in ns a byte with the base's."""

    recipe: Recipe
    base: int | None
    fraction: float
    cost: float
    advice: Advice = NO_ADVICE

    @property
    def score(self) -> float:
        return (self.fraction + FLOOR) * (1 + PRICE * self.cost)


def choose(chunk: Chunk, bases: Sequence[Base], budget: float) -> Trial:
    """The trial with the lowest score among those within the budget; raw when nothing helps."""
    raw = Trial(Recipe.RAW, None, 1.0, RECIPES[Recipe.RAW].cost[chunk.element.width])
    if len(chunk.plain) < _LEAST_CHUNK:
        return raw
    trials = [raw, *keyframes(chunk), *deltas(chunk, bases, budget), *casts(chunk, bases)]
    return min(trials, key=lambda trial: trial.score)


def keyframes(chunk: Chunk) -> Iterator[Trial]:
    """The recipes without a base. Floats are never tried as plain bytes: apart, their planes always win."""
    width = chunk.element.width
    sample = sample_of(chunk.lanes, "sample")
    if not chunk.element.exponent_bits or width == 1:
        fraction = estimate_whole(sample.view(np.uint8))
        yield Trial(Recipe.ZSTD, None, fraction, RECIPES[Recipe.ZSTD].cost[width])
    estimate = estimate_planes(planes.split(sample, "sample-planes"))
    yield Trial(Recipe.PLANES, None, estimate.fraction, RECIPES[Recipe.PLANES].cost[width], Advice(estimate.noise))


def deltas(chunk: Chunk, bases: Sequence[Base], budget: float) -> Iterator[Trial]:
    """A delta for each affordable base, then one grouped, against the base that did best."""
    links = [
        link(chunk, base, index)
        for index, base in enumerate(bases)
        if base.plain.nbytes == chunk.plain.nbytes and within(Recipe.DELTA, chunk.element, base, budget)
    ]
    yield from links
    if chunk.element is Element.FLOAT32 and len(chunk.plain) >= _LEAST_GROUPED_CHUNK:
        yield from scaled_links(chunk, bases, links, budget)
    if chunk.element.exponent_bits and len(chunk.plain) >= _LEAST_GROUPED_CHUNK:
        affordable = [
            t
            for t in links
            if t.base is not None and within(Recipe.DELTA_GROUPED, chunk.element, bases[t.base], budget)
        ]
        best = min(affordable, key=lambda trial: trial.score, default=None)
        if best is not None and may_gain_from_grouping(chunk.element, best):
            yield grouped(chunk, bases, best)


def may_gain_from_grouping(element: Element, plain: Trial) -> bool:
    """Whether the greatest gain there ever was would pay for the slower link; judging the real one costs time too."""
    width = element.width
    slower = RECIPES[Recipe.DELTA_GROUPED].cost[width] - RECIPES[Recipe.DELTA].cost[width]
    gain = plain.fraction * _GREATEST_GROUPING_GAIN[width]
    hoped = Trial(Recipe.DELTA_GROUPED, plain.base, plain.fraction - gain, plain.cost + slower)
    return hoped.score < plain.score


def within(recipe: Recipe, element: Element, base: Base, budget: float) -> bool:
    return base.cost + RECIPES[recipe].cost[element.width] <= budget


def link(chunk: Chunk, base: Base, index: int) -> Trial:
    sample, _ = residual_sample(chunk, base)
    estimate = estimate_planes(planes.split(sample, "sample-planes"))
    cost = base.cost + RECIPES[Recipe.DELTA].cost[chunk.element.width]
    return Trial(Recipe.DELTA, index, estimate.fraction, cost, Advice(estimate.noise))


def scaled_links(chunk: Chunk, bases: Sequence[Base], links: Sequence[Trial], budget: float) -> Iterator[Trial]:
    """Each link again, its base scaled by the factor that many of its values have changed by, if there is one."""
    for plain in links:
        assert plain.base is not None
        base = bases[plain.base]
        new, old = sampled(chunk, base)
        if not within(Recipe.DELTA_SCALED, chunk.element, base, budget) or (scale := fitting_scale(new, old)) is None:
            continue
        residuals = subtract(new, scaled(old, scale), scratch.array("sample-residuals", new.dtype, new.size))
        estimate = estimate_planes(planes.split(residuals, "sample-planes"))
        cost = base.cost + RECIPES[Recipe.DELTA_SCALED].cost[chunk.element.width]
        yield Trial(Recipe.DELTA_SCALED, plain.base, estimate.fraction, cost, Advice(estimate.noise, scale))


def casts(chunk: Chunk, bases: Sequence[Base]) -> Iterator[Trial]:
    """The chunk as the rounded values of each base that is twice as long.

    Outside of the budget: what the base's chain costs, whoever reads the wide values pays already.
    """
    if chunk.element not in ROUNDED:
        return
    entry = RECIPES[Recipe.CAST]
    for index, base in enumerate(bases):
        if base.plain.nbytes == entry.base_size * chunk.plain.nbytes:
            new = sample_of(chunk.lanes, "sample")
            old = sample_of(lanes_of(base.plain, Element.FLOAT32, "base"), "sample-base", chunk.element.width)
            below = rounded(old, chunk.element)
            residuals = subtract(new, below, scratch.array("sample-residuals", new.dtype, new.size))
            estimate = estimate_planes(planes.split(residuals, "sample-planes"))
            cost = entry.base_size * base.cost + entry.cost[chunk.element.width]
            yield Trial(Recipe.CAST, index, estimate.fraction, cost, Advice(estimate.noise))


def grouped(chunk: Chunk, bases: Sequence[Base], plain: Trial) -> Trial:
    """The same link grouped: what the plain one leaves, less what the groups tell about the bytes."""
    assert plain.base is not None
    base = bases[plain.base]
    sample, old = residual_sample(chunk, base)
    keys = exponents(old, chunk.element)
    grouping = Grouping.fitting(keys, chunk.element)
    gain = grouping_gain(planes.split(sample, "sample-planes"), plain.advice.noise, keys, grouping, len(chunk.plain))
    cost = base.cost + RECIPES[Recipe.DELTA_GROUPED].cost[chunk.element.width]
    return Trial(Recipe.DELTA_GROUPED, plain.base, plain.fraction - gain, cost, plain.advice)


def residual_sample(chunk: Chunk, base: Base) -> tuple[Lanes, Lanes]:
    """Residuals and base values at the sampled positions, in scratch."""
    new, old = sampled(chunk, base)
    return subtract(new, old, scratch.array("sample-residuals", new.dtype, new.size)), old


def sampled(chunk: Chunk, base: Base) -> tuple[Lanes, Lanes]:
    """Values of chunk and base at the sampled positions, in scratch."""
    old = sample_of(lanes_of(base.plain, chunk.element, "base"), "sample-base")
    return sample_of(chunk.lanes, "sample"), old
