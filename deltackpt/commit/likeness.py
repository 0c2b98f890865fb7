"""How alike the tensors of two commits are, told by a few of their chunks.

A delta against values that have nothing in common with the new ones is not smaller, but costs reading the base of
every chunk. So a few chunks, spread evenly over the tensors, are judged first, as the encoder would judge them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from deltackpt.chunking.grid import grid_for
from deltackpt.commit.parts import hints_from
from deltackpt.errors import CorruptError, NotFoundError
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId
from deltackpt.skeleton.capture import CapturedTensor

_SAMPLES = 6

Pair = tuple[CapturedTensor, StoredTensor]
"""A new tensor, and a stored one of its type and shape."""


def likeness(repository: Repository, pairs: Sequence[Pair]) -> float:
    """The mean part of a chunk's plain bytes, from 0 to 1, that deltas of new tensors against stored ones save."""
    chosen = pairs[:: max(1, len(pairs) // _SAMPLES)][:_SAMPLES]
    return sum(_saved(repository, *pair) for pair in chosen) / max(1, len(chosen))


def _saved(repository: Repository, tensor: CapturedTensor, stored: StoredTensor) -> float:
    """What a delta of the middle chunk saves; nothing where the two are not cut alike, or the stored one is damaged."""
    # NumPy takes 0.1 s to import, which commits that look for no base do not pay.
    from deltackpt.codec.base import Base
    from deltackpt.codec.choice import DEFAULT_BUDGET, choose
    from deltackpt.codec.coders import Chunk

    source = tensor.source
    grid = grid_for(source.dtype.itemsize, source.shape, repository.chunks.facts.chunk_bytes)
    hints = hints_from(stored, source.dtype, grid)
    if not hints:
        return 0.0
    spans = list(grid.spans(source.dtype.itemsize * prod(source.shape)))
    middle = len(spans) // 2
    plain = source.read(*spans[middle])
    try:
        if ChunkId.of(plain) == hints[middle]:
            return 1.0
        base = Base(repository.reader.read(hints[middle]), 0.0)
        chunk = Chunk.of(plain, source.dtype.element)
        alone, delta = (choose(chunk, bases, DEFAULT_BUDGET).fraction for bases in ((), (base,)))
        return max(0.0, alone - delta)
    except (CorruptError, NotFoundError):
        return 0.0
    finally:
        source.release()
