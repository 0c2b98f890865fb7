"""Open files, a bounded number of them at once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MAX_OPEN = 64


@dataclass(slots=True)
class _Handle:
    fd: int
    loans: int = 0


class Descriptors:
    """Lends descriptors of files by their paths, to any thread; ``open_file`` opens one that is not open."""

    def __init__(self, open_file: Callable[[str], int]) -> None:
        self._open = open_file
        self._handles: OrderedDict[str, _Handle] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def lend(self, path: str) -> Iterator[int]:
        """A descriptor of the file at ``path`` for as long as the block runs."""
        with self._lock:
            handle = self._handles.get(path)
            if handle is None:
                handle = self._handles[path] = _Handle(self._open(path))
            self._handles.move_to_end(path)
            handle.loans += 1
        try:
            yield handle.fd
        finally:
            with self._lock:
                handle.loans -= 1
                if len(self._handles) > MAX_OPEN:
                    self._close_some()

    def _close_some(self) -> None:
        """Those used least recently, but none that is lent."""
        idle = [path for path, handle in self._handles.items() if not handle.loans]
        for path in idle[: len(self._handles) - MAX_OPEN]:
            os.close(self._handles.pop(path).fd)

    def close(self) -> None:
        """Close all; none may be lent."""
        with self._lock:
            for handle in self._handles.values():
                os.close(handle.fd)
            self._handles.clear()
