"""A file that is being committed: a descriptor that is read by range, and nothing else.

``pread`` shares no file position, so any number of threads may read at once; and an I/O error is an
exception, where under a memory map it would kill the process.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from deltackpt.errors import FormatError, InvalidInputError, NotFoundError, StorageError
from deltackpt.formats.wording import complaint, shown_path
from deltackpt.fs.tree import changed

Lend = Callable[[], AbstractContextManager[int]]
"""Gives an open descriptor of the file for as long as a block runs."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A regular file as it was when it was first looked at.

    ``name`` is what errors call it, safe to print; ``size`` is in bytes; ``modified_ns`` is its mtime, ``mode`` its
    permissions.
    """

    lend: Lend
    size: int
    modified_ns: int
    mode: int
    name: str

    @classmethod
    def of(cls, fd: int, name: str) -> SourceFile:
        """Wrap a descriptor, which stays the caller's to close. Refuses what is not a regular file."""
        status, shown = os.fstat(fd), shown_path(name)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInputError(f"{shown}: {_kind(status.st_mode)}, not a regular file; name a file to commit")
        mode = stat.S_IMODE(status.st_mode)
        return cls(lambda: nullcontext(fd), status.st_size, status.st_mtime_ns, mode, shown)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes at ``offset``; FormatError when the file ends before."""
        piece = self._pread(offset, length)
        if len(piece) == length:
            return piece
        # One pread moves at most 2 GiB on Linux, and fewer when a signal arrives.
        pieces, done = [piece], len(piece)
        while done < length:
            if not (piece := self._pread(offset + done, length - done)):
                expected = f"{length - done} more bytes of a file that had {self.size}"
                raise FormatError(complaint(self.name, "the file shrank", offset + done, expected, "its end"))
            pieces.append(piece)
            done += len(piece)
        return b"".join(pieces)

    def check_unchanged(self) -> None:
        """After the last read: ChangedError when somebody wrote to the file since it was opened.

        What was read may then be half old and half new. A writer that keeps size and mtime is not noticed.
        """
        with self.lend() as fd:
            status = os.fstat(fd)
        if (status.st_size, status.st_mtime_ns) != (self.size, self.modified_ns):
            raise changed(self.name)

    def _pread(self, offset: int, length: int) -> bytes:
        try:
            with self.lend() as fd:
                return os.pread(fd, length, offset)
        except OSError as error:
            raise StorageError(
                f"{self.name}: reading {length} bytes at byte {offset} failed: {error.strerror}"
            ) from error


@contextmanager
def open_source(path: str) -> Iterator[SourceFile]:
    """Open ``path`` for reading and close it afterwards. A FIFO is refused, not waited for."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFoundError(f"{shown_path(path)}: no such file") from None
    except ValueError:
        raise InvalidInputError(f"{shown_path(path)}: a path cannot hold a NUL character") from None
    except OSError as error:
        raise StorageError(f"{shown_path(path)}: cannot be opened: {error.strerror}") from error
    try:
        yield SourceFile.of(fd, path)
    finally:
        os.close(fd)


def _kind(mode: int) -> str:
    """What a file that is not a regular one is, in words."""
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a FIFO" if stat.S_ISFIFO(mode) else "a device or socket"
