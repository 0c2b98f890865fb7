"""The memory behind several overlapping views, as one tensor to commit."""

from __future__ import annotations

import threading
from math import prod

from deltackpt.skeleton.view import View
from deltackpt.tensor.dtype import DType
from deltackpt.tensor.source import TensorSource


class ClusterSource:
    """Puts the views' elements where they lay; what no view touches reads as zero. Made once, under a lock."""

    __slots__ = ("_lock", "_memory", "_pieces", "dtype", "shape")

    def __init__(self, pieces: list[tuple[TensorSource, View]], dtype: DType, shape: tuple[int, ...]) -> None:
        self._pieces = pieces
        self._lock = threading.Lock()
        self._memory: memoryview | None = None
        self.dtype = dtype
        self.shape = shape

    def read(self, start: int, stop: int) -> memoryview:
        memory = self._memory
        if memory is None:
            with self._lock:
                memory = self._memory = self._memory or self._assemble()
        return memory[start:stop]

    def release(self) -> None:
        self._memory = None

    def _assemble(self) -> memoryview:
        # Imported here because NumPy costs a tenth of a second that light commands must not pay.
        from deltackpt.skeleton.strided import scatter

        memory = memoryview(bytearray(prod(self.shape) * self.dtype.itemsize))
        for source, view in self._pieces:
            scatter(source.read(0, view.nbytes), view, memory)
            source.release()
        return memory.toreadonly()
