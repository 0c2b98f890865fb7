"""Reading manifests: from a part's id to its tensors with their chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deltackpt.chunkstore.reader import ChunkReader
from deltackpt.history.objects import ID_SIZE, Form, Group, GroupLayout, ObjectCorruptError, Part, TensorLayout, decode
from deltackpt.ids import ChunkId
from deltackpt.tensor.dtype import DType
from deltackpt.tensor.finite import Finiteness

_CACHED_PARTS = 16
_CACHED_LAYOUTS = 4096


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a commit. Either ``chunks`` holds its plain bytes, or ``inline`` does."""

    layout: TensorLayout
    chunks: tuple[ChunkId, ...]
    inline: bytes | None
    finiteness: Finiteness

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

    def spans(self) -> Iterator[tuple[ChunkId, int, int]]:
        """``(chunk, start, stop)`` over the plain bytes, in order."""
        if not self.layout.inline:
            for chunk, (start, stop) in zip(self.chunks, self.layout.grid.spans(self.nbytes), strict=True):
                yield chunk, start, stop

    def spans_touching(self, start: int, stop: int) -> Iterator[tuple[ChunkId, int, int]]:
        """Those spans that hold plain bytes ``start`` to ``stop``."""
        if not self.layout.inline and start < stop:
            grid = self.layout.grid
            for number, (first, last) in enumerate(grid.spans_touching(start, stop, self.nbytes), grid.index(start)):
                yield self.chunks[number], first, last


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part: its skeleton's bytes and its tensors in table order."""

    form: Form
    skeleton: bytes
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
        known = self._reader.locate(ChunkId(i) for i in (part.skeleton, *part.groups))
        groups = [decode(self._reader.read(ChunkId(group), known), Group) for group in part.groups]
        tensors = tuple(tensor for group in groups for tensor in _tensors(group, self._layout(group.layout)))
        return StoredPart(Form(part.form), bytes(self._reader.read(ChunkId(part.skeleton), known)), tensors)

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
    inline = iter(group.inline)
    at = 0
    for position, tensor in enumerate(layout.tensors):
        end = at + tensor.chunk_count * ID_SIZE
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
        yield StoredTensor(tensor, chunks, data, Finiteness(worst.get(position, 0)))
        at = end
    if at != len(group.chunks) or next(inline, None) is not None:
        raise ObjectCorruptError("a group holds more than its layout names; run `deltackpt verify`")
