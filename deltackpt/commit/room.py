"""Whether a commit has any chance to fit on the disk, asked before a byte of it is written.

A disk with room for every plain byte needs no more than a look. On a fuller one a few chunks, spread evenly over the
tensors, are encoded as the commit would encode them. Half of what they say, the dearest one left out, must fit: only a
commit that is sure to fail is refused, and one that fails later on leaves nothing behind either.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from fractions import Fraction
from itertools import groupby

from deltackpt.chunkstore.encoder import ChunkEncoder
from deltackpt.commit.casts import find_casts
from deltackpt.commit.forms import hints_from
from deltackpt.commit.samples import SampledChunk, size_of, spread
from deltackpt.content.content import Content
from deltackpt.fs.disk import DiskFullError
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId

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
    repository: Repository,
    content: Content,
    parent: Mapping[str, StoredTensor],
    wide: Container[str],
    encoder: ChunkEncoder,
) -> None:
    """NoRoomError when ``content`` cannot fit. ``parent`` holds the tensors that it is a delta against, by name.

    ``wide`` are the names of 16-bit tensors that may be rounded copies of stored ones: these cost next to nothing.
    """
    chunks = repository.chunks
    tensors = [tensor for part in content.parts for tensor in part.tensors]
    plain = sum(map(size_of, tensors))
    free = chunks.disk.free_bytes(chunks.layout.root, at_most=True)
    if plain <= free:
        return
    copies = {tensors[at].name for at in find_casts(tensors)}
    shares: list[Fraction] = []
    for sample, same in groupby(spread(tensors, SAMPLES, chunks.facts.chunk_bytes)):
        is_copy = sample.tensor.name in copies or sample.tensor.name in wide
        share = Fraction() if is_copy else _share(sample, parent, repository, encoder)
        shares += [share] * len(list(same))
    need = int(plain * (sum(shares) - max(shares)) / (SAMPLES * _CAUTION))
    if need > free:
        raise NoRoomError(chunks.layout.root, need, free)


def _share(
    sample: SampledChunk, parent: Mapping[str, StoredTensor], repository: Repository, encoder: ChunkEncoder
) -> Fraction:
    """How much of its plain bytes a chunk would add to the store, against the chunk at its place in the parent."""
    source = sample.tensor.source
    hints = hints_from(parent.get(sample.tensor.name), source.dtype, sample.grid, size_of(sample.tensor))
    hint = hints[sample.number] if sample.number < len(hints) else None
    plain = source.read(sample.start, sample.stop)
    chunk = ChunkId.of(plain)
    known = repository.reader.locate([chunk] if hint is None else [chunk, hint])
    stored = 0
    if chunk not in known:
        stored = encoder.encode(chunk, plain, source.dtype.element, hint, known)[0].payload_length
    source.release()
    return Fraction(stored, sample.stop - sample.start)
