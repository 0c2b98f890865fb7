"""What a chunk would shrink to, judged from a small sample of it.

The sample is a few slices spread evenly, so that untouched rows and busy ones both have their share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deltackpt.codec import frames, planes
from deltackpt.codec.lanes import Bytes, Lanes
from deltackpt.codec.scratch import scratch

_SLICES = 16
_SLICE_BYTES = 2048


def sample_of(lanes: Lanes, slot: str, width: int | None = None) -> Lanes:
    """Slices of ``lanes`` side by side in scratch ``slot``; ``lanes`` itself when it is hardly larger.

    Two arrays of one size are sampled at the same positions, and so are arrays of different items when ``width`` is
    the size of the others' items.
    """
    length = _SLICE_BYTES // (width or lanes.itemsize)
    if lanes.size <= 2 * _SLICES * length:
        return lanes
    rows = lanes[: lanes.size // _SLICES * _SLICES].reshape(_SLICES, -1)
    sample = scratch.array(slot, lanes.dtype, _SLICES * length)
    np.copyto(sample.reshape(_SLICES, length), rows[:, :length])
    return sample


@dataclass(frozen=True, slots=True)
class PlanesEstimate:
    """``fraction``: size left, 1 for nothing saved. ``noise``: which planes did not compress at all."""

    fraction: float
    noise: tuple[bool, ...]


def estimate_planes(sample: Sequence[Bytes]) -> PlanesEstimate:
    """How a block of these planes would do. Constant planes count nothing."""
    kept = [frame_size(plane) for plane in sample]
    sizes = [plane.size for plane in sample]
    noise = tuple(left >= size for left, size in zip(kept, sizes, strict=True))
    return PlanesEstimate(sum(map(min, kept, sizes)) / sum(sizes), noise)


def estimate_whole(sample: Bytes) -> float:
    """Fraction left by zstd on the bytes as they are."""
    return len(frames.compress(sample)) / sample.size


def frame_size(plane: Bytes) -> int:
    return 0 if planes.is_constant(plane) else len(frames.squeeze(plane))
