"""Some plain bytes of a stored tensor, by way of the chunks that hold them and no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deltackpt.checkout.fetch import fetch
from deltackpt.chunkstore.scratch import scratch
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.objects import ObjectCorruptError, TensorLayout
from deltackpt.history.repository import Repository
from deltackpt.skeleton.boxes import Box, in_pieces
from deltackpt.skeleton.view import View

PIECE_BYTES = 16 << 20
"""How much of a window is held at once: some chunks, so that few of them are read twice."""


@dataclass(frozen=True, slots=True)
class _IntoRange:
    """Into memory that begins at plain byte ``first``; of a chunk that reaches beyond it, the bytes that lie within."""

    memory: memoryview
    first: int
    chunk: int

    def buffer(self, start: int, stop: int, slot: int) -> memoryview:
        at = self.chunk + start - self.first
        inside = at >= 0 and at + stop - start <= len(self.memory)
        return self.memory[at : at + stop - start] if inside else scratch(slot, stop - start)

    def done(self, start: int, plain: memoryview) -> None:
        at = self.chunk + start - self.first
        low, high = max(at, 0), min(at + len(plain), len(self.memory))
        if high - low < len(plain):
            self.memory[low:high] = plain[low - at : high - at]


def read_into(repository: Repository, stored: StoredTensor, start: int, memory: memoryview) -> None:
    """Fill ``memory`` with plain bytes from ``start`` on, hashed chunk by chunk."""
    stop = start + len(memory)
    if stored.inline is not None:
        memory[:] = stored.inline[start:stop]
        return
    wanted = []
    for chunk, first, last in stored.spans_touching(start, stop):
        # Each chunk as a tensor of its own, so that they are fetched together.
        size = last - first
        layout = TensorLayout(stored.name, "uint8", (size,), size, size)
        wanted.append((StoredTensor(layout, (chunk,), None, stored.finiteness), _IntoRange(memory, start, first)))
    fetch(repository, wanted)


def read_range(repository: Repository, stored: StoredTensor, start: int, stop: int) -> memoryview:
    """Plain bytes ``start`` to ``stop``, hashed chunk by chunk, in memory of their own."""
    memory = memoryview(bytearray(stop - start))
    read_into(repository, stored, start, memory)
    return memory


def read_boxes(repository: Repository, stored: StoredTensor, view: View) -> Iterator[tuple[Box, bytes]]:
    """The window ``view`` on the plain bytes in boxes, each with its bytes in C order; some chunks are held at once."""
    # Imported here because NumPy costs a tenth of a second that light commands must not pay.
    from deltackpt.skeleton.strided import gather

    low, high = view.bounds()
    if not 0 <= low <= high <= stored.nbytes:
        raise ObjectCorruptError(f"tensor {stored.name!r}: a view reaches outside it; run `deltackpt verify`")
    for box in in_pieces(view, PIECE_BYTES):
        part = box.of(view)
        low, high = part.bounds()
        yield box, gather(read_range(repository, stored, low, high), part.shifted(-low))


def read_window(repository: Repository, stored: StoredTensor, view: View) -> memoryview:
    """The window ``view`` on the plain bytes, in C order and in memory of its own."""
    from deltackpt.skeleton.strided import scatter

    if view.is_row_major():
        return read_range(repository, stored, *view.bounds())
    memory = memoryview(bytearray(view.nbytes))
    plain = View(view.dtype, view.shape)
    for box, piece in read_boxes(repository, stored, view):
        scatter(memoryview(piece), box.of(plain), memory)
    return memory
