"""Plain chunks of the last commit: what the next one's deltas are against, without a look at the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from deltackpt.ids import ChunkId

Borrow = Callable[[ChunkId], memoryview | None]


class Plains(Protocol):
    """Plain chunks at hand; thread-safe."""

    def begin(self) -> None:
        """A commit begins."""
        ...

    def loan(self) -> AbstractContextManager[Borrow]:
        """A function that borrows a chunk by its id, None when it is not here; all is given back with the block."""
        ...

    def keep(self, chunk: ChunkId) -> bool:
        """An unchanged chunk is wanted for the next commit, too; False when its bytes must be put first."""
        ...

    def put(self, chunk: ChunkId, plain: memoryview, replaced: ChunkId | None) -> None:
        """Plain bytes of the running commit, valid until it ends, and the chunk that they stand in the place of."""
        ...


class LentPlains:
    """Chunks that lie in memory which somebody else keeps, such as the buffer of the last snapshot: nothing is copied.

    Whoever lends them promises that the memory stays as it is until the next :meth:`lend`.
    """

    def __init__(self) -> None:
        self._chunks: Mapping[ChunkId, memoryview] = {}

    def lend(self, chunks: Mapping[ChunkId, memoryview]) -> None:
        """Only ``chunks`` are at hand from now on. Not while a commit runs."""
        self._chunks = chunks

    def begin(self) -> None:
        """What was lent is there for the whole commit."""

    @contextmanager
    def loan(self) -> Iterator[Borrow]:
        yield self._chunks.get

    def keep(self, chunk: ChunkId) -> bool:
        """Nothing need be put: whoever lends knows all chunks of the commit when it has ended."""
        return True

    def put(self, chunk: ChunkId, plain: memoryview, replaced: ChunkId | None) -> None:
        """Nothing is kept here."""
