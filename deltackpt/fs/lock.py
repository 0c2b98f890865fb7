"""A shared or exclusive lock between processes and between the threads of one.

``flock`` belongs to an open file description, so it does not keep two threads of a process apart; a
condition variable does. Safety of the store never rests on this lock: it guards the index, a cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from deltackpt.errors import StorageError
from deltackpt.fs.disk import reading_errors

# How many seconds the readers of one process may hold the lock between them, and then leave it to others.
LONGEST_HOLD = 0.05
PAUSE = 0.001
_CLOSED = -1


class LockFolderMissingError(StorageError):
    """The folder of the lock's folder is not there any more."""


class FileLock:
    """Many readers or one writer, over the file at ``path`` (created, with its folder, when it can be).

    The file is opened on first use, and again after :meth:`close`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = _CLOSED
        self._state = threading.Condition()
        self._readers = 0
        self._since = 0.0
        self._writing = False
        self._paused = False
        self._writers_waiting = 0
        self._mine = threading.local()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock together with other readers. A thread that holds it already gets it at once."""
        depth = getattr(self._mine, "depth", 0)
        with self._state:
            if not depth:
                self._wait_as_reader()
            self._readers += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            with self._state:
                self._readers -= 1
                if not self._readers:
                    self._unlock()
                    self._state.notify_all()

    def _wait_as_reader(self) -> None:
        """Readers make way, or a stream of them would keep others out: at once for a writer of this process, and
        for one of another, which cannot be seen, now and then.
        """
        while (
            self._writing or self._writers_waiting or (self._readers and time.monotonic() > self._since + LONGEST_HOLD)
        ):
            made_way = not (self._writing or self._writers_waiting)
            self._state.wait()
            if made_way and not self._readers:
                time.sleep(PAUSE)
        if not self._readers:
            self._flock(fcntl.LOCK_SH)
            self._since = time.monotonic()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        assert not getattr(self._mine, "depth", 0), "a reader cannot become the writer"
        with self._state:
            self._writers_waiting += 1
            try:
                self._state.wait_for(lambda: not self._writing and not self._readers)
                self._writing = True
            finally:
                self._writers_waiting -= 1
                self._state.notify_all()
        try:
            self._flock(fcntl.LOCK_EX)
            yield
        finally:
            self._unlock()
            with self._state:
                self._writing = False
                self._state.notify_all()

    def pause(self) -> None:
        """Wait until no thread of this process holds the lock, and let none take it before :meth:`resume`."""
        if getattr(self._mine, "depth", 0):
            return
        with self._state:
            self._writers_waiting += 1
            self._state.wait_for(lambda: not self._writing and not self._readers)
            self._writers_waiting -= 1
            self._writing = self._paused = True

    def resume(self) -> None:
        with self._state:
            if self._paused:
                self._writing = self._paused = False
                self._state.notify_all()

    def _flock(self, mode: int) -> None:
        """Lock the file that stands at the path now: when somebody deleted it, others lock a new one."""
        while True:
            if self._fd == _CLOSED:
                self._fd = _open(self._path)
            fcntl.flock(self._fd, mode)
            if self._is_in_place():
                return
            self.close()

    def _is_in_place(self) -> bool:
        """Whether the path still stands for the file that was opened; a disk that cannot tell gets no lock."""
        try:
            with reading_errors("looking at", self._path):
                return os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        except FileNotFoundError:
            return False
        except StorageError:
            self.close()
            raise

    def _unlock(self) -> None:
        # The file could not even be opened when taking the lock failed.
        if self._fd != _CLOSED:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    @contextmanager
    def idle(self) -> Iterator[bool]:
        """Whether no thread of this process holds the lock or waits to write; none takes it while the block runs."""
        with self._state:
            yield not (self._readers or self._writing or self._writers_waiting)

    def close(self) -> None:
        """Give the descriptor back; only while no thread of this process holds the lock."""
        if self._fd != _CLOSED:
            os.close(self._fd)
            self._fd = _CLOSED


def _open(path: str) -> int:
    folder = os.path.dirname(path)
    try:
        with reading_errors("opening", path), contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        return _open_within(path)
    except (FileNotFoundError, NotADirectoryError):
        raise LockFolderMissingError(f"folder {folder!r} cannot be made: what it was in is gone") from None


def _open_within(path: str) -> int:
    with reading_errors("opening", path):
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            if not os.path.exists(path):
                raise
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def hold(fd: int) -> None:
    """Mark an open file as in use for as long as it stays open; a hint for others, never needed for safety."""
    with contextlib.suppress(OSError):
        # Waits for a moment when somebody asks with is_held just now.
        fcntl.flock(fd, fcntl.LOCK_EX)


def is_held(path: str) -> bool:
    """Whether some process holds the file with :func:`hold`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
