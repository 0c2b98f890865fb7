"""Chunks spread evenly over the plain bytes of a commit, to judge all of them by a few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from deltackpt.chunking.grid import Grid, grid_for
from deltackpt.skeleton.capture import CapturedTensor


@dataclass(frozen=True, slots=True)
class SampledChunk:
    """Plain bytes ``start`` to ``stop`` of a tensor, its chunk of that ``number`` on ``grid``."""

    tensor: CapturedTensor
    grid: Grid
    number: int
    start: int
    stop: int


def size_of(tensor: CapturedTensor) -> int:
    """Plain bytes of a tensor."""
    return tensor.source.dtype.itemsize * prod(tensor.source.shape)


def spread(tensors: Sequence[CapturedTensor], count: int, chunk_bytes: int) -> Iterator[SampledChunk]:
    """The chunks at ``count`` places of even distances, in order; a large one may stand at several."""
    plain = sum(map(size_of, tensors))
    before = 0
    wanted = iter([plain * (2 * at + 1) // (2 * count) for at in range(count)])
    place = next(wanted, None)
    for tensor in tensors:
        source, size = tensor.source, size_of(tensor)
        grid = grid_for(source.dtype.itemsize, source.shape, chunk_bytes)
        while place is not None and place < before + size:
            number = grid.index(place - before)
            start, stop = list(grid.spans(size))[number]
            yield SampledChunk(tensor, grid, number, start, stop)
            place = next(wanted, None)
        before += size
