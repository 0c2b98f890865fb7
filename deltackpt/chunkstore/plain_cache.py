"""Plain bytes kept in memory, bounded by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
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
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0
        self._previous: OrderedDict[ChunkId, memoryview] = OrderedDict()
        self._current: dict[ChunkId, memoryview] = {}
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A commit begins: what the last one kept may be dropped, oldest first, as the new one fills up."""
        with self._lock:
            self._previous.update(self._current)
            self._current = {}

    def get(self, chunk: ChunkId) -> memoryview | None:
        with self._lock:
            return self._current.get(chunk) or self._previous.get(chunk)

    def keep(self, chunk: ChunkId) -> bool:
        """Carry an unchanged chunk over; False when it is not here."""
        with self._lock:
            if chunk in self._previous:
                self._current[chunk] = self._previous.pop(chunk)
            return chunk in self._current

    def put(self, chunk: ChunkId, plain: memoryview) -> None:
        """Copy ``plain`` in, if there is room once chunks of the last commit have made way."""
        with self._lock:
            if chunk in self._current or len(plain) > self.limit:
                return
            while self._held + len(plain) > self.limit and self._previous:
                _, dropped = self._previous.popitem(last=False)
                self._held -= len(dropped)
            if self._held + len(plain) > self.limit:
                return
            self._held += len(plain)
        copy = memoryview(bytes(plain))
        with self._lock:
            self._current[chunk] = copy
