"""Where a tensor's plain bytes come from when it is committed."""

from __future__ import annotations

from typing import Protocol

from deltackpt.tensor.dtype import DType


class TensorSource(Protocol):
    """One tensor to commit: its type and a way to read its plain bytes by range.

    Plain bytes are the elements in row-major order of ``shape``, little-endian, without padding. They do
    not depend on strides, device or file format, so the same values are the same bytes everywhere.
    """

    @property
    def dtype(self) -> DType: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self, start: int, stop: int) -> memoryview:
        """Plain bytes ``start`` to ``stop``. Called from several threads at once; zero-copy where it can be.

        The view is valid until ``release``; the values must not change before then.
        """
        ...

    def release(self) -> None:
        """Every range has been read: drop whatever copy was made to serve them."""
        ...
