"""Which tensors may be bases for one another: those whose first chunks lie at the same values.

Names play no part in it, and shapes only as far as they say where a tensor is cut: one that was flattened, or to which
rows were added, is of the form that it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import takewhile

from deltackpt.chunking.grid import Grid
from deltackpt.chunkstore.record import BUNDLED_BELOW
from deltackpt.commit.casts import NARROW, WIDE
from deltackpt.history.manifest import StoredTensor
from deltackpt.ids import ChunkId
from deltackpt.tensor.dtype import DType

_STEPS = re.compile(r"[/.]")


@dataclass(frozen=True, slots=True)
class Form:
    """Name of the type, elements of the first chunk, and where it is cut, in elements; None for a single chunk."""

    dtype: str
    first: int
    cuts: tuple[int, int] | None

    @classmethod
    def of(cls, dtype: DType, nbytes: int, grid: Grid) -> Form:
        size = dtype.itemsize
        cuts = None if nbytes <= grid.piece else (grid.period // size, grid.piece // size)
        return cls(dtype.name, min(nbytes, grid.piece) // size, cuts)

    @property
    def wide(self) -> Form | None:
        """That of the float32 values of which tensors of this form may be the rounded copies."""
        return replace(self, dtype=WIDE) if self.dtype in NARROW and 2 * self.first >= BUNDLED_BELOW else None


def form_of_stored(tensor: StoredTensor) -> Form | None:
    """None for what is no base, as it has no chunks of its own or is cut by its content."""
    layout = tensor.layout
    if layout.inline or layout.by_content or not tensor.chunks:
        return None
    return Form.of(layout.type, layout.nbytes, layout.grid)


def hints_from(before: StoredTensor | None, dtype: DType, grid: Grid, nbytes: int) -> tuple[ChunkId, ...]:
    """The stored chunks at the same places as those of a tensor; none where its values or its cuts are others."""
    if before is None or (layout := before.layout).dtype != dtype.name:
        return ()
    cut_alike = (layout.period, layout.piece) == (grid.period, grid.piece)
    single = nbytes <= min(layout.piece, grid.piece) and layout.nbytes == nbytes
    return before.chunks if cut_alike or single else ()


def endings(name: str) -> list[tuple[str, ...]]:
    """The endings of a name in whole steps, the longest first."""
    steps = tuple(_STEPS.split(name))
    return [steps[at:] for at in range(len(steps))]


def common_ending(name: str, other: str) -> int:
    """How many whole steps at the end of two names are the same."""
    pairs = zip(reversed(_STEPS.split(name)), reversed(_STEPS.split(other)), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
