"""Writing the parts of a commit: chunks first, then the objects that list them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import prod

from deltackpt.chunking.content import ContentCuts
from deltackpt.chunking.cuts import Cuts
from deltackpt.chunking.grid import grid_for
from deltackpt.chunkstore.ingest import Ingest, IngestedTensor, Wide
from deltackpt.commit.casts import find_casts
from deltackpt.commit.forms import hints_from
from deltackpt.content.content import ContentPart
from deltackpt.history.manifest import StoredPart, StoredTensor
from deltackpt.history.objects import (
    INLINE_BYTES,
    Group,
    GroupLayout,
    Part,
    PartEntry,
    TensorLayout,
    encode,
)
from deltackpt.skeleton.capture import CapturedTensor
from deltackpt.tensor.dtype import BYTES
from deltackpt.tensor.finite import Finiteness, finiteness

CUT_BY_CONTENT = 64 << 10
"""Longer bytes are cut where their content says so."""

GROUP_TENSORS = 64
GROUP_CHUNKS = 1024


@dataclass(frozen=True, slots=True)
class WrittenTensor:
    """A tensor on its way: its layout, and its chunks or its inline bytes."""

    layout: TensorLayout
    ingested: IngestedTensor
    inline: bytes | None

    @property
    def stored(self) -> StoredTensor:
        """The tensor as a reader will find it, once everything is taken in."""
        lengths = tuple(self.ingested.lengths) if self.layout.by_content else ()
        return StoredTensor(self.layout, tuple(self.ingested.chunks), self.inline, self.ingested.finiteness, lengths)


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A part whose chunks are in the transaction."""

    content: ContentPart
    tensors: tuple[WrittenTensor, ...]

    @property
    def stored(self) -> StoredPart:
        """The part as a reader will find it."""
        tensors = tuple(tensor.stored for tensor in self.tensors)
        return StoredPart(self.content.skeleton, self.content.files, tensors)

    def entry(self, identity: bytes) -> PartEntry:
        """The part as the commit lists it, under the id of its object."""
        sizes = [(tensor.layout.nbytes, tensor.layout.dtype == BYTES.name) for tensor in self.tensors]
        untyped = [nbytes for nbytes, is_bytes in sizes if is_bytes]
        nbytes = sum(nbytes for nbytes, _ in sizes)
        return PartEntry(self.content.name, identity, len(sizes) - len(untyped), nbytes, sum(untyped))


@dataclass(frozen=True, slots=True)
class TensorWriter:
    """Hands tensors to ``ingest``, cut into chunks of about ``chunk_bytes``, which is a fact of the store.

    ``parent`` holds the parent commit's tensors by name: the delta bases. ``wide`` holds stored float32 tensors by the
    names of 16-bit ones that may be their rounded copies.
    """

    ingest: Ingest
    parent: Mapping[str, StoredTensor]
    wide: Mapping[str, StoredTensor]
    chunk_bytes: int

    def write(self, parts: Sequence[ContentPart]) -> list[WrittenPart]:
        """All tensors of ``parts``; those of which others are rounded copies first, as their bases."""
        tensors = [tensor for part in parts for tensor in part.tensors]
        casts = find_casts(tensors)
        written = {at: self._write(tensors[at]) for at in sorted(set(casts.values()))}
        self.ingest.settle()
        for at, tensor in enumerate(tensors):
            if at not in written:
                wide = casts.get(at)
                copied = None if wide is None else Wide(tensors[wide].source, written[wide].ingested.chunks)
                written[at] = self._write(tensor, copied or self._stored_wide(tensor))
        ordered = iter(written[at] for at in range(len(tensors)))
        return [WrittenPart(part, tuple(islice(ordered, len(part.tensors)))) for part in parts]

    def _stored_wide(self, tensor: CapturedTensor) -> Wide | None:
        stored = self.wide.get(tensor.name)
        return None if stored is None else Wide(None, stored.chunks)

    def _write(self, tensor: CapturedTensor, wide: Wide | None = None) -> WrittenTensor:
        source = tensor.source
        before = self.parent.get(tensor.name)
        nbytes = source.dtype.itemsize * prod(source.shape)
        if nbytes <= INLINE_BYTES:
            plain = bytes(source.read(0, nbytes))
            source.release()
            layout = TensorLayout(tensor.name, source.dtype.name, source.shape, 0, 0)
            return WrittenTensor(layout, IngestedTensor([], finiteness(memoryview(plain), source.dtype)), plain)
        if source.dtype is BYTES and nbytes > CUT_BY_CONTENT:
            return self._by_content(tensor, before, nbytes)
        grid = grid_for(source.dtype.itemsize, source.shape, self.chunk_bytes)
        layout = TensorLayout(tensor.name, source.dtype.name, source.shape, grid.period, grid.piece)
        suspect = before is not None and before.finiteness is not Finiteness.FINITE
        hints = hints_from(before, source.dtype, grid, nbytes)
        ingested = self.ingest.tensor(source, nbytes, grid, hints, wide, suspect=suspect)
        return WrittenTensor(layout, ingested, None)

    def _by_content(self, tensor: CapturedTensor, before: StoredTensor | None, nbytes: int) -> WrittenTensor:
        """Bytes without a grid. Those of the parent's length, in which nothing moved, are cut where those are."""
        same = before is not None and before.layout.by_content and before.nbytes == nbytes
        cuts: Cuts = before.cuts if before is not None and same else ContentCuts(tensor.source.read)
        hints = before.chunks if before is not None and same else ()
        layout = TensorLayout(tensor.name, tensor.source.dtype.name, tensor.source.shape, 0, 1)
        return WrittenTensor(layout, self.ingest.tensor(tensor.source, nbytes, cuts, hints), None)


def write_objects(ingest: Ingest, part: WrittenPart) -> PartEntry:
    """Write the part's groups, layouts and skeleton; every chunk must have been taken in."""
    groups = tuple(_write_group(ingest, group) for group in _grouped(part.tensors))
    skeleton = ingest.object(part.content.skeleton)
    files = ingest.object(part.content.files) if part.content.files else b""
    return part.entry(ingest.object(encode(Part(skeleton, files, groups))))


def _grouped(tensors: Sequence[WrittenTensor]) -> Iterator[list[WrittenTensor]]:
    group: list[WrittenTensor] = []
    chunks = 0
    for tensor in tensors:
        full = len(group) >= GROUP_TENSORS or chunks + len(tensor.ingested.chunks) > GROUP_CHUNKS
        # Tensors and bytes apart: the layout of the one stays the same, that of the other hardly ever.
        if group and (full or (tensor.layout.dtype == BYTES.name) != (group[-1].layout.dtype == BYTES.name)):
            yield group
            group, chunks = [], 0
        group.append(tensor)
        chunks += len(tensor.ingested.chunks)
    if group:
        yield group


def _write_group(ingest: Ingest, tensors: Sequence[WrittenTensor]) -> bytes:
    layout = ingest.object(encode(GroupLayout(tuple(tensor.layout for tensor in tensors))))
    group = Group(
        layout,
        b"".join(chain.from_iterable(tensor.ingested.chunks for tensor in tensors)),
        tuple(tensor.inline for tensor in tensors if tensor.inline is not None),
        tuple((at, int(t.ingested.finiteness)) for at, t in enumerate(tensors) if t.ingested.finiteness),
        tuple(tuple(tensor.ingested.lengths) for tensor in tensors if tensor.layout.by_content),
    )
    return ingest.object(encode(group))
