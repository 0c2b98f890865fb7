"""How alike tensors are, told by a few values of each, taken at the same places.

A sketch is up to 256 values of a tensor's first chunk. Two sketches are compared as a delta would: by the bits that the
differences take, beside those that they take when every value meets one of another place. Weights with a common past
take a fifth of their bits less or better, unrelated ones none, whatever they look like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltackpt.codec.lanes import LANE, Lanes
from deltackpt.codec.rounding import rounded
from deltackpt.tensor.dtype import Element

ALIKE = 1 / 16
"""The least likeness at which a delta is worth reading its base for. Figures in docs/design/folders.md."""

_RUNS, _RUN = 8, 32
_SHORTLIST = 4

Scores = NDArray[np.float32]


def sketch_of(read: Callable[[int, int], memoryview], element: Element, nbytes: int) -> Lanes:
    """Values at the places that all chunks of ``nbytes`` are looked at: eight runs of 32, or all of a short one."""
    width = element.width
    count = nbytes // width
    places = [(0, count)]
    if count > _RUNS * _RUN:
        starts = ((count - _RUN) * run // (_RUNS - 1) for run in range(_RUNS))
        places = [(start, start + _RUN) for start in starts]
    plain = b"".join(read(start * width, stop * width) for start, stop in places)
    return np.frombuffer(plain, LANE[width])


def rounded_sketch(wide: Lanes, element: Element) -> Lanes:
    """A sketch of float32 values as that of their copy in 16 bits."""
    return rounded(wide, element).copy()


def compare(new: Sequence[Lanes], old: Sequence[Lanes]) -> list[list[tuple[float, int]]]:
    """For each new sketch its likeness, 0 to 1, to the few old ones most like it, with their positions.

    Sketches are of one length. The few are found by correlation, which takes one product of matrices for all pairs.
    """
    ours, theirs = np.stack(new), np.stack(old)
    likely = np.argsort(-_correlation(ours, theirs), axis=1, kind="stable")[:, :_SHORTLIST]
    scores = _likeness(ours[:, None, :], theirs[likely])
    return [list(zip(row, at, strict=True)) for row, at in zip(scores.tolist(), likely.tolist(), strict=True)]


def _correlation(ours: Lanes, theirs: Lanes) -> Scores:
    product: Scores = _standardised(ours) @ _standardised(theirs).T
    return product


def _standardised(lanes: Lanes) -> Scores:
    """Sign and magnitude as one number each; their mean is 0 and the length of a row 1, or 0 where all are equal."""
    signed = lanes.view(f"<i{lanes.itemsize}")
    most = np.iinfo(signed.dtype).max
    magnitude = signed & most
    values: Scores = np.where(signed < 0, -magnitude, magnitude).astype(np.float32)
    values /= np.float32(most)
    values -= values.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    values /= np.where(length > 0, length, 1)
    return values


def _likeness(new: Lanes, old: Lanes) -> Scores:
    elsewhere = np.roll(old, old.shape[-1] // 2, axis=-1)
    saved: Scores = (_bits(new, elsewhere) - _bits(new, old)) / np.float32(8 * new.itemsize)
    return saved


def _bits(new: Lanes, old: Lanes) -> Scores:
    """The mean number of bits that the differences take."""
    residuals: NDArray[Any] = (new - old).view(f"<i{new.itemsize}").astype(np.float32)
    mean: Scores = np.log2(np.abs(residuals) + 1).mean(axis=-1)
    return mean
