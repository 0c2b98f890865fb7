"""Whether a commit has any chance to fit on the disk, asked before a byte of it is written.

A disk with room for every plain byte needs no more than a look. On a fuller one a few chunks, spread evenly over the
tensors, are encoded as the commit would encode them. Half of what they say, the dearest one left out, must fit: only a
commit that is sure to fail is refused, and one that fails later on leaves nothing behind either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from math import prod

from deltackpt.chunking.grid import grid_for
from deltackpt.chunkstore.encoder import ChunkEncoder
from deltackpt.commit.parts import hints_from
from deltackpt.content.content import Content
from deltackpt.fs.disk import DiskFullError
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId
from deltackpt.skeleton.capture import CapturedTensor

SAMPLES = 16
_CAUTION = 2


class NoRoomError(DiskFullError):
    """A commit that cannot fit: it needs at least ``need`` bytes and ``free`` are left. Nothing was written."""

    def __init__(self, folder: str, need: int, free: int) -> None:
        super().__init__(
            f"this commit needs at least {need} bytes and {free} are free in {folder!r}; nothing was published;"
            " free some room (`deltackpt prune`, then `deltackpt gc`) and try again"
        )
        self.need = need
        self.free = free


def check_room(
    repository: Repository, content: Content, parent: Mapping[str, StoredTensor], encoder: ChunkEncoder
) -> None:
    """NoRoomError when ``content`` cannot fit. ``parent`` holds the tensors that it is a delta against, by name."""
    chunks = repository.chunks
    tensors = [tensor for part in content.parts for tensor in part.tensors]
    plain = sum(map(_size, tensors))
    free = chunks.disk.free_bytes(chunks.layout.root, at_most=True)
    if plain <= free:
        return
    shares: list[Fraction] = []
    for sample, same in groupby(_samples(tensors, plain, parent, chunks.facts.chunk_bytes)):
        shares += [sample.share(repository, encoder)] * len(list(same))
    need = int(plain * (sum(shares) - max(shares)) / (SAMPLES * _CAUTION))
    if need > free:
        raise NoRoomError(chunks.layout.root, need, free)


def _size(tensor: CapturedTensor) -> int:
    return tensor.source.dtype.itemsize * prod(tensor.source.shape)


@dataclass(frozen=True, slots=True)
class _Sample:
    """A chunk of the commit, and the chunk at its place in the parent."""

    tensor: CapturedTensor = field(compare=False)
    name: str
    start: int
    stop: int
    hint: ChunkId | None

    def share(self, repository: Repository, encoder: ChunkEncoder) -> Fraction:
        """How much of its plain bytes the chunk would add to the store."""
        source = self.tensor.source
        plain = source.read(self.start, self.stop)
        chunk = ChunkId.of(plain)
        known = repository.reader.locate([chunk] if self.hint is None else [chunk, self.hint])
        stored = 0
        if chunk not in known:
            stored = encoder.encode(chunk, plain, source.dtype.element, self.hint, known)[0].payload_length
        source.release()
        return Fraction(stored, self.stop - self.start)


def _samples(
    tensors: Sequence[CapturedTensor], plain: int, parent: Mapping[str, StoredTensor], chunk_bytes: int
) -> Iterator[_Sample]:
    """The chunks at places of even distances in all plain bytes, in order; a large one may stand at several."""
    before = 0
    wanted = iter([plain * (2 * at + 1) // (2 * SAMPLES) for at in range(SAMPLES)])
    place = next(wanted, None)
    for tensor in tensors:
        source, size = tensor.source, _size(tensor)
        grid = grid_for(source.dtype.itemsize, source.shape, chunk_bytes)
        while place is not None and place < before + size:
            number = grid.index(place - before)
            start, stop = list(grid.spans(size))[number]
            hints = hints_from(parent.get(tensor.name), source.dtype, grid)
            yield _Sample(tensor, tensor.name, start, stop, hints[number] if number < len(hints) else None)
            place = next(wanted, None)
        before += size
