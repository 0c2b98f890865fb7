"""How a tensor lies in memory: element type, shape, strides and offset, all in bytes, no library needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

from deltackpt.skeleton.tags import SLACK_BYTES, SLACK_FACTOR
from deltackpt.tensor.dtype import DType


@lru_cache(maxsize=4096)
def row_major(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Byte strides of a C-order tensor, as PyTorch counts them (an extent of 0 steps like 1)."""
    strides = []
    step = itemsize
    for extent in reversed(shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True)
class View:
    """A strided window on memory. ``offset`` is the byte of the first element; ``strides`` None means C order."""

    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    offset: int = 0

    @property
    def steps(self) -> tuple[int, ...]:
        """Byte strides, written out."""
        return row_major(self.shape, self.dtype.itemsize) if self.strides is None else self.strides

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, each counted as often as the shape names it."""
        return prod(self.shape) * self.dtype.itemsize

    def bounds(self) -> tuple[int, int]:
        """First and past-the-last byte of memory that an element touches."""
        if 0 in self.shape:
            return self.offset, self.offset
        reach = [(extent - 1) * step for extent, step in zip(self.shape, self.steps, strict=True)]
        low = self.offset + sum(r for r in reach if r < 0)
        return low, self.offset + sum(r for r in reach if r > 0) + self.dtype.itemsize

    def span(self) -> int:
        """Length of :meth:`bounds`."""
        low, high = self.bounds()
        return high - low

    def is_row_major(self) -> bool:
        """Memory order is C order without holes; the strides of extents of 1 do not matter."""
        if self.strides is None or 0 in self.shape:
            return True
        plain = row_major(self.shape, self.dtype.itemsize)
        return all(e == 1 or s == p for e, s, p in zip(self.shape, self.strides, plain, strict=True))

    def is_one_to_one(self) -> bool:
        """Nothing is expanded and there is a byte for every element's byte, so memory can be filled from the view."""
        return 0 not in self.steps and self.span() >= self.nbytes

    def compact(self) -> View:
        """Every element once: an extent that was only expanded (stride 0) shrinks to 1."""
        if self.strides is None or 0 not in self.strides:
            return self
        shape = tuple(1 if step == 0 else extent for extent, step in zip(self.shape, self.strides, strict=True))
        return replace(self, shape=shape).canonical() if 0 not in self.shape else replace(self, strides=None)

    def canonical(self) -> View:
        """The same view with ``strides`` None where they are those of C order; a stride of 0 over 1 is not kept."""
        plain = row_major(self.shape, self.dtype.itemsize)
        steps = tuple(
            p if s == 0 and extent <= 1 else s for s, p, extent in zip(self.steps, plain, self.shape, strict=True)
        )
        return replace(self, strides=None if steps == plain else steps)

    def placeable(self) -> View:
        """This view with strides that restoring can afford: its own, or dense ones in the same order of dimensions."""
        if self.strides is None or self.span() <= allowance(self.nbytes):
            return self
        return self._dense()

    def _dense(self) -> View:
        step = self.dtype.itemsize
        steps = [0] * len(self.shape)
        for dim in sorted(range(len(self.shape)), key=lambda d: (abs(self.steps[d]), self.shape[d], -d)):
            steps[dim] = step
            step *= self.shape[dim]
        return View(self.dtype, self.shape, tuple(steps), self.bounds()[0]).canonical()

    def expanded_like(self, wide: View) -> View:
        """``wide`` (of which this is the compact form) laid over this view's strides."""
        steps = tuple(0 if w != c else s for w, c, s in zip(wide.shape, self.shape, self.steps, strict=True))
        return View(self.dtype, wide.shape, steps, self.offset)

    def shifted(self, by: int) -> View:
        """The same window, ``by`` bytes further on."""
        return replace(self, offset=self.offset + by) if by else self

    def rows(self, start: int, stop: int) -> View:
        """The window on rows ``start`` to ``stop`` of the leading dimension; a scalar is one row."""
        if not self.shape:
            return self
        shape = (stop - start, *self.shape[1:])
        return View(self.dtype, shape, self.steps, self.offset + start * self.steps[0])


def allowance(nbytes: int) -> int:
    """How much memory ``nbytes`` of data may be spread over."""
    return SLACK_FACTOR * nbytes + SLACK_BYTES
