"""Sketches of new and of stored tensors, each made once, the latter as far as effort goes."""

from __future__ import annotations

from collections.abc import Sequence

from deltackpt.codec.lanes import Lanes
from deltackpt.commit.likeness import sketch_of
from deltackpt.commit.wanted import Wanted
from deltackpt.errors import CorruptError, NotFoundError
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId


class Sketches:
    """Made for one commit, by one thread. ``effort`` is how many bytes of stored chunks may still be read."""

    def __init__(self, repository: Repository) -> None:
        self.effort = 0
        self._executor = repository.executor
        self._reader = repository.reader
        self._new: dict[str, Lanes] = {}
        self._stored: dict[ChunkId, Lanes | None] = {}

    def spend(self, nbytes: int) -> bool:
        """Whether there is effort left for ``nbytes``; it is spent then."""
        if nbytes > self.effort:
            return False
        self.effort -= nbytes
        return True

    def of_new(self, one: Wanted) -> Lanes:
        sketch = self._new.get(one.name)
        if sketch is None:
            sketch = self._new[one.name] = sketch_of(one.source.read, one.source.dtype.element, one.first_bytes)
            one.source.release()
        return sketch

    def of_stored(self, tensors: Sequence[StoredTensor], *, keep: bool) -> list[tuple[StoredTensor, Lanes]]:
        """Those of ``tensors`` that can be read within the effort. ``keep`` has their chunks at hand as bases."""
        unread = {tensor.chunks[0]: tensor for tensor in tensors if tensor.chunks[0] not in self._stored}
        affordable = {chunk: tensor for chunk, tensor in unread.items() if self.spend(_first_bytes(tensor))}
        locations = self._reader.locate(affordable)

        def read(tensor: StoredTensor) -> Lanes | None:
            chunk = tensor.chunks[0]
            try:
                plain = self._reader.read(chunk, locations)
            except (CorruptError, NotFoundError):
                return None
            if len(plain) != _first_bytes(tensor):
                return None
            if keep:
                self._reader.cache.put(chunk, plain, None)
            return sketch_of(lambda start, stop: plain[start:stop], tensor.dtype.element, len(plain))

        self._stored.update(zip(affordable, self._executor.map(read, affordable.values()), strict=True))
        sketches = ((tensor, self._stored.get(tensor.chunks[0])) for tensor in tensors)
        return [(tensor, sketch) for tensor, sketch in sketches if sketch is not None]

    def first_chunks(self, wanted: Sequence[Wanted]) -> list[ChunkId]:
        """What the first chunks of new tensors will be called."""
        return list(self._executor.map(_first_chunk, wanted))


def _first_bytes(tensor: StoredTensor) -> int:
    return min(tensor.nbytes, tensor.layout.piece)


def _first_chunk(one: Wanted) -> ChunkId:
    chunk = ChunkId.of(one.source.read(0, one.first_bytes))
    one.source.release()
    return chunk
