"""Boxes of a tensor's elements, by their place in C order or in memory: how large tensors are read in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from deltackpt.skeleton.view import View


@dataclass(frozen=True, slots=True)
class Box:
    """Elements ``starts`` to ``stops`` of each dimension."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Box:
        return cls((0,) * len(shape), shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(stop - start for start, stop in zip(self.starts, self.stops, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index."""
        return tuple(map(slice, self.starts, self.stops))

    def cut(self, dim: int, start: int, stop: int) -> Box:
        """Elements ``start`` to ``stop`` of this box along ``dim``."""
        first = self.starts[dim]
        starts = (*self.starts[:dim], first + start, *self.starts[dim + 1 :])
        return Box(starts, (*self.stops[:dim], first + stop, *self.stops[dim + 1 :]))

    def of(self, view: View) -> View:
        """The part of ``view`` that lies in the box."""
        offset = view.offset + sum(start * step for start, step in zip(self.starts, view.steps, strict=True))
        return View(view.dtype, self.shape, view.steps, offset)


def in_c_order(shape: tuple[int, ...], start: int, stop: int) -> Iterator[Box]:
    """Boxes that hold elements ``start`` to ``stop`` in C order, one after another; two for a dimension at most."""
    if start >= stop:
        return
    if not shape:
        yield Box((), ())
        return
    row = prod(shape[1:])
    first, last = -(-start // row), stop // row
    if first > last:
        yield from _within_row(shape, last, start - last * row, stop - last * row)
        return
    if start < first * row:
        yield from _within_row(shape, first - 1, start - (first - 1) * row, row)
    if first < last:
        yield Box.whole(shape).cut(0, first, last)
    if last * row < stop:
        yield from _within_row(shape, last, 0, stop - last * row)


def _within_row(shape: tuple[int, ...], row: int, start: int, stop: int) -> Iterator[Box]:
    for box in in_c_order(shape[1:], start, stop):
        yield Box((row, *box.starts), (row + 1, *box.stops))


def in_memory(view: View, start: int, stop: int) -> Iterator[Box]:
    """Boxes of the elements that have a byte in ``start`` to ``stop`` of memory. Nothing of ``view`` is expanded."""
    if start < stop:
        yield from _touching(view, Box.whole(view.shape), start, stop)


def _touching(view: View, box: Box, start: int, stop: int) -> Iterator[Box]:
    low, high = box.of(view).bounds()
    if low == high or low >= stop or high <= start:
        return
    dim = _outermost(view, box)
    if dim is None or (start <= low and high <= stop):
        yield box
        return
    touching, inside = _rows(view, box, dim, start, stop)
    # Rows at either end of the range may lie in it in part.
    for row in range(touching.start, inside.start):
        yield from _touching(view, box.cut(dim, row, row + 1), start, stop)
    if inside:
        yield box.cut(dim, inside.start, inside.stop)
    for row in range(inside.stop, touching.stop):
        yield from _touching(view, box.cut(dim, row, row + 1), start, stop)


def _rows(view: View, box: Box, dim: int, start: int, stop: int) -> tuple[range, range]:
    """Which rows along ``dim`` may have bytes in the range, and which of those lie wholly within it."""
    count, step = box.shape[dim], view.steps[dim]
    low, high = box.cut(dim, 0, 1).of(view).bounds()
    if step < 0:
        # Counted from the other end, rows rise.
        low, high, step = low + (count - 1) * step, high + (count - 1) * step, -step
    touching = range(max(0, (start - high) // step + 1), min(count, -((low - stop) // step)))
    first = min(max(touching.start, -((low - start) // step)), touching.stop)
    inside = range(first, max(first, min(touching.stop, (stop - high) // step + 1)))
    if view.steps[dim] > 0:
        return touching, inside
    return _turned(touching, count), _turned(inside, count)


def _turned(rows: range, count: int) -> range:
    """The same rows of ``count``, numbered from the other end."""
    return range(count - rows.stop, count - rows.start)


def _outermost(view: View, box: Box) -> int | None:
    """The dimension whose neighbours lie farthest apart in memory."""
    wide = [dim for dim, extent in enumerate(box.shape) if extent > 1]
    return max(wide, key=lambda dim: abs(view.steps[dim]), default=None)


def in_pieces(view: View, limit: int) -> Iterator[Box]:
    """All of ``view`` in boxes, as they lie in memory, each with ``limit`` bytes at most, spread over no more."""
    pending = [Box.whole(view.shape)] if view.nbytes else []
    while pending:
        box = pending.pop()
        part = box.of(view)
        dim = _outermost(view, box)
        if dim is None or max(part.span(), part.nbytes) <= limit:
            yield box
        else:
            extent = box.shape[dim]
            pending += [box.cut(dim, extent // 2, extent), box.cut(dim, 0, extent // 2)]


def runs(shape: tuple[int, ...], box: Box) -> tuple[int, Iterator[int]]:
    """How many elements of the box stand together in C order of ``shape``, and where each such run begins."""
    steps = [prod(shape[dim + 1 :]) for dim in range(len(shape))]
    inner = len(shape)
    while inner and (inner == len(shape) or box.shape[inner] == shape[inner]):
        inner -= 1
    length = prod(box.shape[inner:])
    first = sum(start * step for start, step in zip(box.starts[inner:], steps[inner:], strict=True))
    ranges = [range(a * step, b * step, step) for a, b, step in zip(box.starts, box.stops, steps, strict=True)][:inner]
    return length, (first + sum(place) for place in product(*ranges))
