"""How an array is cut into chunks of one shape, and what the file of each is called."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import prod

from deltackpt.tensor.dtype import DType

_COORDINATE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Sharding:
    """Chunks that are cut once more: a file holds inner chunks of ``chunk_shape``, and an index of where they stand.

    ``index_first`` says that the index stands before them, ``has_checksum`` that a CRC-32C follows it.
    """

    chunk_shape: tuple[int, ...]
    index_first: bool
    has_checksum: bool


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
    sharding: Sharding | None = None

    @property
    def plain_shape(self) -> tuple[int, ...]:
        """Of what stands in a file in one piece: a chunk, or an inner chunk."""
        return self.chunk_shape if self.sharding is None else self.sharding.chunk_shape

    @property
    def plain(self) -> ChunkLayout:
        """The layout of an array whose chunks are what stands in a file in one piece."""
        return replace(self, chunk_shape=self.plain_shape, sharding=None)

    @property
    def plain_bytes(self) -> int:
        return prod(self.plain_shape) * self.dtype.itemsize

    @property
    def inner_grid(self) -> tuple[int, ...]:
        """How many inner chunks a chunk has in each dimension; 1 where it is not cut."""
        return tuple(step // inner for step, inner in zip(self.chunk_shape, self.plain_shape, strict=True))

    def place(self, key: str) -> tuple[int, ...] | None:
        """The coordinates of the chunk with this ``key``, the path of a file seen from the array; None for no chunk."""
        steps = key.split(self.separator)
        places = steps[len(self.prefix) :]
        if tuple(steps[: len(self.prefix)]) != self.prefix or not all(map(_COORDINATE.fullmatch, places)):
            return None
        if not self.shape:
            return () if places == ([] if self.prefix else ["0"]) else None
        found = tuple(map(int, places))
        if len(found) != len(self.shape):
            return None
        inside = all(at * step < extent for at, step, extent in zip(found, self.chunk_shape, self.shape, strict=True))
        return found if inside else None

    def key(self, place: tuple[int, ...]) -> str:
        """The key of a chunk with these coordinates."""
        return self.separator.join((*self.prefix, *map(str, place)))
