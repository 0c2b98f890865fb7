"""Files below a folder, opened when they are read, a bounded number of them at once."""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from deltackpt.errors import StorageError
from deltackpt.fs.beneath import open_beneath
from deltackpt.fs.tree import FoundFile, changed

MAX_OPEN = 64
_MOVED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


@dataclass(slots=True)
class _Handle:
    fd: int
    loans: int = 0


class OpenFiles:
    """Lends descriptors of files below ``root``, to any thread; closed when it is left."""

    def __init__(self, root: int, name: str) -> None:
        self._root = root
        self._name = name
        self._handles: OrderedDict[str, _Handle] = OrderedDict()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles.values():
            os.close(handle.fd)
        self._handles.clear()

    @contextmanager
    def lend(self, file: FoundFile) -> Iterator[int]:
        """A descriptor of ``file`` for as long as the block runs; ChangedError when another file stands there now."""
        with self._lock:
            handle = self._handles.get(file.path) or self._opened(file)
            self._handles.move_to_end(file.path)
            handle.loans += 1
        try:
            yield handle.fd
        finally:
            with self._lock:
                handle.loans -= 1
                self._close_some()

    def _opened(self, file: FoundFile) -> _Handle:
        path = os.path.join(self._name, file.path)
        try:
            # A FIFO that took the file's place must not be waited for.
            fd = open_beneath(self._root, file.path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in _MOVED:
                raise changed(path) from None
            shown = path if path.isprintable() else repr(path)
            raise StorageError(f"{shown}: cannot be opened: {error.strerror}") from error
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != file.place:
            os.close(fd)
            raise changed(path)
        handle = self._handles[file.path] = _Handle(fd)
        return handle

    def _close_some(self) -> None:
        """Those used least recently, but none that is lent."""
        surplus = len(self._handles) - MAX_OPEN
        if surplus > 0:
            idle = [path for path, handle in self._handles.items() if not handle.loans]
            for path in idle[:surplus]:
                os.close(self._handles.pop(path).fd)
