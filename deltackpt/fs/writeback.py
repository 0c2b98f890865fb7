"""Making a file durable while it grows, so that little is left to wait for at its end."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future

from deltackpt.fs.disk import Disk

SYNC_EVERY = 16 << 20


class Writeback:
    """Syncs an open file on ``executor`` each time so many bytes were written to it; thread-safe."""

    def __init__(self, disk: Disk, fd: int, path: str, executor: Executor) -> None:
        self._disk = disk
        self._fd = fd
        self._path = path
        self._executor = executor
        self._unsynced = 0
        self._syncing: list[Future[None]] = []
        self._lock = threading.Lock()

    def wrote(self, count: int) -> None:
        with self._lock:
            self._unsynced += count
            if self._unsynced >= SYNC_EVERY:
                self._unsynced = 0
                self._syncing.append(self._executor.submit(self._disk.sync, self._fd, self._path))

    def settle(self) -> None:
        """Wait for every sync under way; StorageError when one failed: the file must not be used then."""
        for syncing in self._syncing:
            syncing.result()

    def abandon(self) -> None:
        """Wait until nothing touches the file any more, however it went."""
        for syncing in self._syncing:
            syncing.cancel()
            if not syncing.cancelled():
                syncing.exception()
