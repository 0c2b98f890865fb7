"""Modes and times of files that are written, where the file system lets them be set."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger("deltackpt")
# A share that squashes root, FAT, and file systems without times of their own.
_REFUSALS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS}


class Attributes:
    """Sets modes and times of all that is written to one target. A refusal is a warning, once: the bytes count."""

    def __init__(self) -> None:
        self._warned = False

    def put_on(self, fd: int, mode: int, mtime_ns: int, path: str) -> None:
        """Give what is open as ``fd`` its mode and its time of modification (nanoseconds)."""
        with self._unless_refused(path):
            os.fchmod(fd, mode)
        with self._unless_refused(path):
            os.utime(fd, ns=(mtime_ns, mtime_ns))

    def put_on_link(self, name: str, folder: int, mtime_ns: int, path: str) -> None:
        """Give the symbolic link ``name`` in the open ``folder`` its time of modification."""
        with self._unless_refused(path):
            os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=folder, follow_symlinks=False)

    @contextmanager
    def _unless_refused(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            if not self._warned:
                _log.warning(
                    "%r: the file system refuses to set modes and times (%s); files are written without them",
                    path,
                    error.strerror,
                )
            self._warned = True
