"""The memory behind several overlapping views, as one tensor to commit."""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.skeleton.boxes import in_memory
from deltackpt.skeleton.strided_source import StridedSource
from deltackpt.skeleton.view import View
from deltackpt.tensor.dtype import DType

# A range of the cluster may begin or end within an element of a view, whose other bytes need a place to go to.
_MARGIN = 16


@dataclass(frozen=True, slots=True)
class ClusterSource:
    """Puts the views' elements where they lay; what no view touches reads as zero. Each range is made when read."""

    pieces: list[tuple[StridedSource, View]]
    dtype: DType
    shape: tuple[int, ...]

    def read(self, start: int, stop: int) -> memoryview:
        # Imported here because NumPy costs a tenth of a second that light commands must not pay.
        from deltackpt.skeleton.strided import scatter

        memory = memoryview(bytearray(stop - start + 2 * _MARGIN))
        for source, view in self.pieces:
            for box in in_memory(view, start, stop):
                scatter(source.box(box), box.of(view).shifted(_MARGIN - start), memory)
        return memory[_MARGIN : _MARGIN + stop - start].toreadonly()

    def release(self) -> None:
        """Nothing to drop: every read made its own copy."""
