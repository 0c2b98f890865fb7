"""How much each commit counts in an average. Weights of one average sum to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deltackpt.errors import InvalidInputError


def weights_of(count: int, weights: Sequence[float] | None, decay: float | None) -> list[float]:
    """Equal weights for ``count`` commits; those given, scaled to sum to 1; or those of a moving average.

    A moving average stands at the first commit and goes ``1 - decay`` of the way to each later one. InvalidInputError
    for what cannot be meant.
    """
    if not count:
        raise InvalidInputError("an average takes at least one commit")
    if weights is not None and decay is not None:
        raise InvalidInputError("an average takes weights or a decay, not both")
    if decay is not None:
        return _moving(count, decay)
    return _scaled(count, [1.0] * count if weights is None else weights)


def _moving(count: int, decay: float) -> list[float]:
    if not 0 <= decay < 1:
        raise InvalidInputError(f"decay is a number from 0 to below 1, such as 0.9, not {decay!r}")
    return [(1.0 if at == 0 else 1 - decay) * decay ** (count - 1 - at) for at in range(count)]


def _scaled(count: int, weights: Sequence[float]) -> list[float]:
    if len(weights) != count:
        raise InvalidInputError(f"there are {count} commits and {len(weights)} weights; give one for each")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not sum(weights):
        raise InvalidInputError(f"weights are numbers from 0 on, and not all 0: {', '.join(map(str, weights))}")
    return [weight / sum(weights) for weight in weights]
