"""Reading manifests: from a part's id to its tensors with their chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat

from deltackpt.chunking.cuts import Cuts, Lengths
from deltackpt.chunkstore.reader import ChunkReader, Locations
from deltackpt.history.objects import ID_SIZE, Group, GroupLayout, ObjectCorruptError, Part, TensorLayout, decode
from deltackpt.ids import ChunkId
from deltackpt.tensor.dtype import DType
from deltackpt.tensor.finite import Finiteness

_CACHED_PARTS = 16
_CACHED_LAYOUTS = 4096


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a commit. Either ``chunks`` holds its plain bytes, or ``inline`` does.

    ``lengths`` are those of its chunks when it is cut by its content.
    """

    layout: TensorLayout
    chunks: tuple[ChunkId, ...]
    inline: bytes | None
    finiteness: Finiteness
    lengths: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.layout.name

    @property
    def dtype(self) -> DType:
        return self.layout.type

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    @property
    def nbytes(self) -> int:
        return self.layout.nbytes

    @property
    def cuts(self) -> Cuts:
        """Where its chunks begin and end; it is not inline."""
        return Lengths(self.lengths) if self.layout.by_content else self.layout.grid

    def spans(self) -> Iterator[tuple[ChunkId, int, int]]:
        """``(chunk, start, stop)`` over the plain bytes, in order."""
        if not self.layout.inline:
            for chunk, (start, stop) in zip(self.chunks, self.cuts.spans(self.nbytes), strict=True):
                yield chunk, start, stop

    def spans_touching(self, start: int, stop: int) -> Iterator[tuple[ChunkId, int, int]]:
        """Those spans that hold plain bytes ``start`` to ``stop``."""
        if self.layout.inline or start >= stop:
            return
        if self.layout.by_content:
            yield from (span for span in self.spans() if span[1] < stop and span[2] > start)
        else:
            grid = self.layout.grid
            for number, (first, last) in enumerate(grid.spans_touching(start, stop, self.nbytes), grid.index(start)):
                yield self.chunks[number], first, last


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part: the bytes of its skeletons (``files`` empty for none), and its tensors in table order."""

    skeleton: bytes
    files: bytes
    tensors: tuple[StoredTensor, ...]


class Manifests:
    """Reads parts of one store. Objects never change, so what was read is kept, up to a bound."""

    def __init__(self, reader: ChunkReader) -> None:
        self._reader = reader
        self._parts: dict[bytes, StoredPart] = {}
        self._layouts: dict[bytes, GroupLayout] = {}

    def object(self, identity: bytes) -> bytes:
        """The bytes of any stored object, hashed."""
        return bytes(self._reader.read(ChunkId(identity)))

    def objects(self, identities: Iterable[ChunkId], known: Locations) -> Iterator[bytes]:
        """The same of several; ``known`` is where some of them lie."""
        return (bytes(self._reader.read(identity, known)) for identity in identities)

    def part(self, identity: bytes) -> StoredPart:
        part = self._parts.get(identity)
        if part is None:
            part = self._read(decode(self.object(identity), Part))
            self.remember(identity, part)
        return part

    def remember(self, identity: bytes, part: StoredPart) -> None:
        """Keep a part that was just written: the next commit asks for it as its parent."""
        if len(self._parts) >= _CACHED_PARTS:
            self._parts.clear()
        self._parts[identity] = part

    def _read(self, part: Part) -> StoredPart:
        known = self._reader.locate((*part.skeletons, *map(ChunkId, part.groups)))
        groups = [decode(self._reader.read(ChunkId(group), known), Group) for group in part.groups]
        tensors = tuple(tensor for group in groups for tensor in _tensors(group, self._layout(group.layout)))
        files = bytes(self._reader.read(ChunkId(part.files), known)) if part.files else b""
        return StoredPart(bytes(self._reader.read(ChunkId(part.skeleton), known)), files, tensors)

    def _layout(self, identity: bytes) -> GroupLayout:
        layout = self._layouts.get(identity)
        if layout is None:
            layout = decode(self.object(identity), GroupLayout)
            if len(self._layouts) >= _CACHED_LAYOUTS:
                self._layouts.clear()
            self._layouts[identity] = layout
        return layout


def _tensors(group: Group, layout: GroupLayout) -> Iterator[StoredTensor]:
    worst = dict(group.nonfinite)
    inline, lengths = iter(group.inline), iter(group.lengths)
    at = 0
    for position, tensor in enumerate(layout.tensors):
        cut = _lengths(tensor, next(lengths, None)) if tensor.by_content else ()
        end = at + _chunk_count(tensor, cut) * ID_SIZE
        if end > len(group.chunks):
            raise ObjectCorruptError(
                f"tensor {tensor.name!r} has fewer chunks than its shape needs; run `deltackpt verify`"
            )
        chunks = tuple(ChunkId(group.chunks[i : i + ID_SIZE]) for i in range(at, end, ID_SIZE))
        data = next(inline, None) if tensor.inline else None
        if tensor.inline and (data is None or len(data) != tensor.nbytes):
            raise ObjectCorruptError(
                f"tensor {tensor.name!r}: inline bytes do not fit its shape; run `deltackpt verify`"
            )
        yield StoredTensor(tensor, chunks, data, Finiteness(worst.get(position, 0)), cut)
        at = end
    if at != len(group.chunks) or next(inline, None) is not None or next(lengths, None) is not None:
        raise ObjectCorruptError("a group holds more than its layout names; run `deltackpt verify`")


def _lengths(tensor: TensorLayout, lengths: tuple[int, ...] | None) -> tuple[int, ...]:
    if lengths is None or min(lengths, default=1) < 1 or sum(lengths) != tensor.nbytes:
        raise ObjectCorruptError(f"tensor {tensor.name!r}: chunks do not add up to its shape; run `deltackpt verify`")
    return lengths


def chunk_names(group: Group, layout: GroupLayout) -> Iterator[str]:
    """For each chunk of a group the tensor that it belongs to."""
    lengths = iter(group.lengths)
    for tensor in layout.tensors:
        yield from repeat(tensor.name, _chunk_count(tensor, next(lengths, ()) if tensor.by_content else ()))


def _chunk_count(tensor: TensorLayout, lengths: tuple[int, ...]) -> int:
    """How many chunks a tensor has; ``lengths`` are those of one that is cut by its content."""
    if tensor.inline:
        return 0
    return len(lengths) if tensor.by_content else tensor.grid.count(tensor.nbytes)
