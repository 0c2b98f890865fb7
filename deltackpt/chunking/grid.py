"""Where a tensor is cut into chunks.

The grid belongs to the global tensor: edges fall on whole rows of the leading dimension and depend on the
trailing shape and the element size alone, never on the number of rows. A vocabulary that grows by a
row keeps every full chunk it had; a row-sharded save shares its whole chunks with an unsharded one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

TARGET_CHUNK_BYTES = 4 << 20
_WIDE = 4


@dataclass(frozen=True, slots=True)
class Grid:
    """Chunk edges stand at every multiple of ``piece`` within each ``period``, in bytes.

    Rows that fit a chunk: ``period == piece``, a whole number of rows. A row larger than a chunk:
    ``period`` is the row and ``piece`` the cut within it.
    """

    period: int
    piece: int

    def __post_init__(self) -> None:
        if not 0 < self.piece <= self.period:
            raise ValueError(f"grid needs 0 < piece <= period, got piece {self.piece}, period {self.period}")

    def spans(self, nbytes: int) -> Iterator[tuple[int, int]]:
        """``(start, stop)`` of each chunk of a tensor of ``nbytes`` plain bytes, in order."""
        for row in range(0, nbytes, self.period):
            end = min(row + self.period, nbytes)
            for start in range(row, end, self.piece):
                yield start, min(start + self.piece, end)

    def spans_touching(self, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
        """Those spans that hold plain bytes ``start`` to ``stop``, without walking the others."""
        for row in range(start // self.period * self.period, min(stop, nbytes), self.period):
            end = min(row + self.period, nbytes)
            first = row + max(start - row, 0) // self.piece * self.piece
            for at in range(first, min(end, stop), self.piece):
                yield at, min(at + self.piece, end)

    def count(self, nbytes: int) -> int:
        """How many spans there are, without walking them."""
        rows, rest = divmod(nbytes, self.period)
        return rows * -(-self.period // self.piece) + -(-rest // self.piece)

    def index(self, offset: int) -> int:
        """Which span holds the plain byte at ``offset``."""
        rows, within = divmod(offset, self.period)
        return rows * -(-self.period // self.piece) + within // self.piece


def grid_for(itemsize: int, shape: tuple[int, ...], target: int = TARGET_CHUNK_BYTES) -> Grid:
    """The grid of a tensor with elements of ``itemsize`` bytes; chunks of ``target`` bytes or fewer.

    Elements of less than four bytes count as four: float32 weights and their copy in bfloat16 are cut at the same
    elements, so a chunk of the one can be predicted from a chunk of the other.
    """
    elements = max(1, target // max(itemsize, _WIDE))
    row = prod(shape[1:])
    if row == 0:
        return Grid(target, target)
    if row <= elements:
        piece = itemsize * row * (elements // row)
        return Grid(piece, piece)
    return Grid(itemsize * row, itemsize * elements)
