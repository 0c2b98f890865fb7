"""Plain bytes kept in memory, bounded by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from deltackpt.ids import ChunkId

K = TypeVar("K")


class RecentPlains(Generic[K]):
    """Keeps what was put last; thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._entries: OrderedDict[K, memoryview] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> memoryview | None:
        with self._lock:
            return self._entries.get(key)

    def put(self, key: K, plain: memoryview) -> None:
        """Keep ``plain``, which nobody may change from now on."""
        with self._lock:
            if key not in self._entries and len(plain) <= self._limit:
                self._entries[key] = plain
                self._held += len(plain)
            while self._held > self._limit:
                _, oldest = self._entries.popitem(last=False)
                self._held -= len(oldest)


class CommitPlains:
    """Plain chunks of the last commit, to be the bases of the next one's; thread-safe.

    A commit walks its chunks in the same order as the one before. Dropping the least recently used would then
    drop each chunk just before it is needed, so chunks of the running commit are never dropped for each
    other: what does not fit is not kept, and a state twice the limit still finds half of its bases here.

    A new chunk takes over the memory of the one it replaces: fresh memory costs several times the copy, in page
    faults. So whoever reads a chunk borrows it with :meth:`loan`, and what is on loan is not written over.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0
        self._previous: OrderedDict[ChunkId, _Plain] = OrderedDict()
        self._current: dict[ChunkId, _Plain] = {}
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A commit begins: what the last one kept may be dropped, oldest first, as the new one fills up."""
        with self._lock:
            self._previous.update(self._current)
            self._current = {}

    @contextmanager
    def loan(self) -> Iterator[Callable[[ChunkId], memoryview | None]]:
        """A function that borrows a chunk by its id, None when it is not here; all is given back with the block."""
        borrowed: list[_Plain] = []

        def borrow(chunk: ChunkId) -> memoryview | None:
            with self._lock:
                plain = self._current.get(chunk) or self._previous.get(chunk)
                if plain is None:
                    return None
                plain.loans += 1
                borrowed.append(plain)
                return plain.view

        try:
            yield borrow
        finally:
            with self._lock:
                for plain in borrowed:
                    plain.loans -= 1

    def keep(self, chunk: ChunkId) -> bool:
        """Carry an unchanged chunk over; False when it is not here."""
        with self._lock:
            if chunk in self._previous:
                self._current[chunk] = self._previous.pop(chunk)
            return chunk in self._current

    def put(self, chunk: ChunkId, plain: memoryview, replaced: ChunkId | None) -> None:
        """Copy ``plain`` in, over the chunk that it replaced if that is here, or where there is room for it."""
        with self._lock:
            if chunk in self._current:
                return
            memory = self._freed(len(plain), replaced)
            if memory is None:
                self._make_room(len(plain))
                if self._held + len(plain) > self.limit:
                    return
                self._held += len(plain)
        kept = _copied(plain, memory)
        with self._lock:
            if chunk in self._current:
                self._held -= len(plain)
            else:
                self._current[chunk] = kept

    def _freed(self, size: int, replaced: ChunkId | None) -> memoryview | None:
        """Memory of exactly ``size`` bytes that nobody needs any more."""
        found = self._previous.get(replaced) if replaced is not None else None
        if replaced is None or found is None or found.loans or len(found.view) != size:
            return None
        return self._previous.pop(replaced).view

    def _make_room(self, size: int) -> None:
        while self._held + size > self.limit and self._previous:
            _, dropped = self._previous.popitem(last=False)
            self._held -= len(dropped.view)


@dataclass(slots=True)
class _Plain:
    """A chunk in memory, and how many are reading it now."""

    view: memoryview
    loans: int = 0


def _copied(plain: memoryview, memory: memoryview | None) -> _Plain:
    """A copy of ``plain``, in ``memory`` of its size or in new. NumPy copies without holding other threads up."""
    # The readers of manifests, which keep nothing here, do without the 0.1 s that NumPy takes to import.
    import numpy as np

    target = np.empty(len(plain), np.uint8) if memory is None else np.frombuffer(memory, np.uint8)
    np.copyto(target, np.frombuffer(plain, np.uint8))
    return _Plain(target.data)
