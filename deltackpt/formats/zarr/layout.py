"""How an array is cut into chunks of one shape, and what the file of each is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from deltackpt.tensor.dtype import DType

_COORDINATE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """Chunks of ``chunk_shape`` that are plain bytes. Those at the edge of the array are as large as the others.

    A chunk's key is ``prefix``, then its coordinates, with ``separator`` between all of them.
    """

    dtype: DType
    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    prefix: tuple[str, ...]
    separator: str

    @property
    def chunk_bytes(self) -> int:
        return prod(self.chunk_shape) * self.dtype.itemsize

    def has_chunk(self, key: str) -> bool:
        """Whether ``key``, the path of a file seen from the array, is that of a chunk of the array."""
        steps = key.split(self.separator)
        places = steps[len(self.prefix) :]
        if tuple(steps[: len(self.prefix)]) != self.prefix or not all(map(_COORDINATE.fullmatch, places)):
            return False
        if not self.shape:
            return places == ([] if self.prefix else ["0"])
        return len(places) == len(self.shape) and all(
            int(place) * step < extent for place, step, extent in zip(places, self.chunk_shape, self.shape, strict=True)
        )

    def place(self, key: str) -> tuple[int, ...]:
        """The coordinates in the ``key`` of a chunk."""
        return tuple(map(int, key.split(self.separator)[len(self.prefix) :])) if self.shape else ()
