"""Files of a tree that was walked, opened when they are read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from deltackpt.errors import StorageError
from deltackpt.fs.beneath import open_beneath
from deltackpt.fs.descriptors import Descriptors
from deltackpt.fs.tree import Found, FoundFile, changed

_MOVED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class OpenFiles:
    """Lends descriptors of the files ``found`` below ``root``, to any thread; closes them when it is left."""

    def __init__(self, root: int, name: str, found: Iterable[Found]) -> None:
        self._root = root
        self._name = name
        self._places = {one.path: one.place for one in found if isinstance(one, FoundFile)}
        self._descriptors = Descriptors(self._opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._descriptors.close()

    def lend(self, path: str) -> AbstractContextManager[int]:
        """A descriptor for as long as a block runs; ChangedError when another file stands there now."""
        return self._descriptors.lend(path)

    def _opened(self, path: str) -> int:
        shown = os.path.join(self._name, path)
        try:
            # A FIFO that took the file's place must not be waited for.
            fd = open_beneath(self._root, path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in _MOVED:
                raise changed(shown) from None
            quoted = shown if shown.isprintable() else repr(shown)
            raise StorageError(f"{quoted}: cannot be opened: {error.strerror}") from error
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != self._places[path]:
            os.close(fd)
            raise changed(shown)
        return fd
