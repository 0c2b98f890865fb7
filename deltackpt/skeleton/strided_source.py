"""Plain bytes of a live tensor by range: its own memory where that is in C order, else a copy of the range alone."""

from __future__ import annotations

from math import prod
from typing import Protocol

from deltackpt.skeleton.boxes import Box, in_c_order
from deltackpt.skeleton.view import View


class Live(Protocol):
    """How a library's tensor gives its plain bytes."""

    def own_memory(self) -> memoryview | None:
        """The tensor's memory when its bytes are the plain bytes; None when they must be copied."""
        ...

    def copy(self, box: Box, out: memoryview) -> None:
        """Write the plain bytes of the elements in ``box``, in C order, to ``out``, which has room for just these."""
        ...


class StridedSource:
    """A source over a live tensor, of which any range or box can be read from any thread."""

    __slots__ = ("_looked", "_memory", "dtype", "live", "shape")

    def __init__(self, live: Live, view: View) -> None:
        self.live = live
        self._looked = False
        self._memory: memoryview | None = None
        self.dtype = view.dtype
        self.shape = view.shape

    def read(self, start: int, stop: int) -> memoryview:
        if not self._looked:
            # Threads that come here at once find the same.
            self._memory = self.live.own_memory()
            self._looked = True
        return self._copied(start, stop) if self._memory is None else self._memory[start:stop]

    def box(self, box: Box) -> memoryview:
        """The plain bytes of the elements in ``box``, in C order."""
        plain = memoryview(bytearray(prod(box.shape) * self.dtype.itemsize))
        self.live.copy(box, plain)
        return plain.toreadonly()

    def release(self) -> None:
        """Nothing to drop: the memory is the tensor's own, or every read made its own copy."""

    def _copied(self, start: int, stop: int) -> memoryview:
        size = self.dtype.itemsize
        first, last = start // size, min(-(-stop // size), prod(self.shape))
        # One allocation, of the same size for most chunks: those of several sizes leave holes in the process's memory.
        plain = memoryview(bytearray((last - first) * size))
        at = 0
        for box in in_c_order(self.shape, first, last):
            end = at + prod(box.shape) * size
            self.live.copy(box, plain[at:end])
            at = end
        return plain[start - first * size : stop - first * size].toreadonly()
