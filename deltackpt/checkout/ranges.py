"""Some plain bytes of a stored tensor, by way of the chunks that hold them and no others."""

from __future__ import annotations

from deltackpt.checkout.fetch import IntoMemory, fetch
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.objects import ObjectCorruptError, TensorLayout
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId
from deltackpt.skeleton.view import View


def read_range(repository: Repository, stored: StoredTensor, start: int, stop: int) -> bytearray:
    """Plain bytes ``start`` to ``stop``, hashed chunk by chunk."""
    if stored.inline is not None:
        return bytearray(stored.inline[start:stop])
    overlapping = [(c, a, b) for c, a, b in stored.spans() if a < stop and b > start]
    if not overlapping or start == stop:
        return bytearray()
    first = overlapping[0][1]
    memory = bytearray(overlapping[-1][2] - first)
    _fill(repository, stored, overlapping, memoryview(memory), first)
    return memory[start - first : stop - first] if len(memory) != stop - start else memory


def read_window(repository: Repository, stored: StoredTensor, view: View) -> bytes:
    """The window ``view`` on the plain bytes, in C order. Memory: what lies between its first and last element."""
    # Imported here because NumPy costs a tenth of a second that light commands must not pay.
    from deltackpt.skeleton.strided import gather

    low, high = view.bounds()
    if not 0 <= low <= high <= stored.nbytes:
        raise ObjectCorruptError(f"tensor {stored.name!r}: a view reaches outside it; run `deltackpt verify`")
    return gather(memoryview(read_range(repository, stored, low, high)), view.shifted(-low))


def _fill(
    repository: Repository, stored: StoredTensor, spans: list[tuple[ChunkId, int, int]], memory: memoryview, first: int
) -> None:
    """Each chunk as a tensor of its own, so that they are fetched together."""
    wanted = []
    for chunk, start, stop in spans:
        size = stop - start
        layout = TensorLayout(stored.name, "uint8", (size,), size, size)
        piece = StoredTensor(layout, (chunk,), None, stored.finiteness)
        wanted.append((piece, IntoMemory(memory[start - first : stop - first])))
    fetch(repository, wanted)
