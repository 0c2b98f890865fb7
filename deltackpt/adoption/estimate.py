"""What an import would store, told by a sample: some chunks of some checkpoints, against the checkpoint before."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from deltackpt.adoption.found import FoundCheckpoint
from deltackpt.chunking.grid import TARGET_CHUNK_BYTES
from deltackpt.codec.base import Base
from deltackpt.codec.choice import DEFAULT_BUDGET, choose
from deltackpt.codec.coders import Chunk
from deltackpt.commit.samples import SampledChunk, size_of, spread
from deltackpt.content.content import Content
from deltackpt.content.path import path_content
from deltackpt.fs.bundle import Bundle
from deltackpt.skeleton.capture import CapturedTensor

_CHECKPOINTS = 6
_CHUNKS = 24


@dataclass(frozen=True, slots=True)
class Estimate:
    """Plain bytes of all checkpoints, and about how many would be stored."""

    plain_bytes: int
    stored_bytes: int


def estimate(checkpoints: Sequence[FoundCheckpoint]) -> Estimate:
    """Reads the headers of all files, and at most 24 chunks of each of seven checkpoints and those before them.

    Other branches of a store, and what it holds already, are not looked at.
    """
    sizes = [_plain(one.place.where) for one in checkpoints]
    if not sizes:
        return Estimate(0, 0)
    first = _share(checkpoints[0].place.where, None)
    chosen = range(1, len(checkpoints), max(1, (len(checkpoints) - 1) // _CHECKPOINTS))[:_CHECKPOINTS]
    shares = [_share(checkpoints[at].place.where, checkpoints[at - 1].place.where) for at in chosen]
    later = sum(shares) / len(shares) if shares else 0.0
    return Estimate(sum(sizes), round(sizes[0] * first + sum(sizes[1:]) * later))


def _plain(path: str | Bundle) -> int:
    with path_content(path) as content:
        return sum(map(size_of, _tensors(content)))


def _tensors(content: Content) -> list[CapturedTensor]:
    return [tensor for part in content.parts for tensor in part.tensors]


def _share(path: str | Bundle, before: str | Bundle | None) -> float:
    """How much of its plain bytes the checkpoint at ``path`` would add to a store that has the one ``before``."""
    with ExitStack() as stack:
        opened = partial(_opened, stack)
        tensors = opened(path)
        known = {} if before is None else {tensor.name: tensor for tensor in opened(before)}
        sampled = list(spread(tensors, _CHUNKS, TARGET_CHUNK_BYTES))
        stored = sum(_left(one, known.get(one.tensor.name)) for one in sampled)
        return stored / max(1, sum(one.stop - one.start for one in sampled))


def _opened(stack: ExitStack, path: str | Bundle) -> list[CapturedTensor]:
    return _tensors(stack.enter_context(path_content(path)))


def _left(one: SampledChunk, before: CapturedTensor | None) -> float:
    """The bytes that are left of a chunk."""
    source = one.tensor.source
    plain = source.read(one.start, one.stop)
    alike = before is not None and (before.source.dtype, before.source.shape) == (source.dtype, source.shape)
    bases = [Base(before.source.read(one.start, one.stop), 0.0)] if before is not None and alike else []
    if bases and bases[0].plain == plain:
        return 0.0
    return choose(Chunk.of(plain, source.dtype.element), bases, DEFAULT_BUDGET).fraction * len(plain)
