"""A tensor inside a file, as a source of plain bytes. Nothing is read before it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan
from deltackpt.tensor.dtype import DType


@dataclass(frozen=True, slots=True)
class FileTensor:
    """A :class:`~deltackpt.tensor.source.TensorSource` over one span. ``file`` must stay open while it is read."""

    file: SourceFile
    span: TensorSpan

    @property
    def dtype(self) -> DType:
        return self.span.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.span.shape

    def read(self, start: int, stop: int) -> memoryview:
        """Plain bytes ``start`` to ``stop``, one copy, from any thread. A file that shrank is a FormatError."""
        if not 0 <= start <= stop <= self.span.length:
            raise ValueError(f"bytes {start} to {stop} of a tensor of {self.span.length}")
        return memoryview(self.file.read(self.span.offset + start, stop - start))

    def release(self) -> None:
        """Nothing to drop: every read returned its own copy."""
