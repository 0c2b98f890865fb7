"""Boxes of elements, against what NumPy says of every single one."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deltackpt.skeleton.boxes import Box, in_c_order, in_memory, in_pieces, runs
from deltackpt.skeleton.view import View
from deltackpt.tensor.dtype import DTYPES

MEMORY = 4096


@st.composite
def views(draw: st.DrawFn, *, expanded: bool = False) -> View:
    """Any window: permuted, sliced, turned around, overlapping itself, of 1 to 4 dimensions."""
    dtype = DTYPES[draw(st.sampled_from(["uint8", "float16", "float32", "complex128"]))]
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=0, max_size=4)))
    least = 0 if expanded else 1
    steps = tuple(draw(st.integers(least, 12)) * draw(st.sampled_from([-1, 1])) * dtype.itemsize for _ in shape)
    low = View(dtype, shape, steps, 0).bounds()[0]
    return View(dtype, shape, steps, -low + draw(st.integers(0, 9)))


def addresses(view: View) -> Any:
    """The byte of memory at which each element begins."""
    places = np.full(view.shape, view.offset)
    for dim, step in enumerate(view.steps):
        axis = [1] * len(view.shape)
        axis[dim] = view.shape[dim]
        places = places + np.arange(view.shape[dim]).reshape(axis) * step
    return places


@given(st.lists(st.integers(1, 5), max_size=4).map(tuple), st.data())
def test_ranges_in_c_order(shape: tuple[int, ...], data: st.DataObject) -> None:
    count = prod(shape)
    start, stop = sorted(data.draw(st.tuples(st.integers(0, count), st.integers(0, count))))
    numbers = np.arange(count).reshape(shape)
    boxes = list(in_c_order(shape, start, stop))
    found = [number for box in boxes for number in np.atleast_1d(numbers[box.slices]).ravel()]
    assert found == list(range(start, stop))
    assert len(boxes) <= max(1, 2 * len(shape))


@given(views(), st.integers(0, 300), st.integers(0, 300))
def test_ranges_in_memory(view: View, start: int, length: int) -> None:
    stop = start + length
    size = view.dtype.itemsize
    places = addresses(view)
    expected = (places < stop) & (places + size > start) & (length > 0)
    found = np.zeros(view.shape, int)
    for box in in_memory(view, start, stop):
        found[box.slices] += 1
        low, high = box.of(view).bounds()
        assert start - size < low
        assert high < stop + size
    assert (found == expected).all()


@given(views(expanded=True), st.integers(1, 200))
def test_pieces_are_small_and_make_up_the_whole(view: View, limit: int) -> None:
    found = np.zeros(view.shape, int)
    for box in in_pieces(view, limit):
        found[box.slices] += 1
        assert box.of(view).nbytes <= max(limit, view.dtype.itemsize)
        assert box.of(view).span() <= max(limit, view.dtype.itemsize)
    assert (found == 1).all()


def test_nothing_has_no_pieces() -> None:
    empty = View(DTYPES["float32"], (3, 0, 2))
    assert list(in_pieces(empty, 10)) == list(in_memory(empty, 0, 10)) == list(in_c_order(empty.shape, 0, 0)) == []


@given(views(), st.data())
def test_runs(view: View, data: st.DataObject) -> None:
    bounds = [sorted(data.draw(st.tuples(st.integers(0, e), st.integers(0, e)))) for e in view.shape]
    box = Box(tuple(a for a, _ in bounds), tuple(b for _, b in bounds))
    numbers = np.arange(prod(view.shape)).reshape(view.shape)
    length, begins = runs(view.shape, box)
    found = [begin + number for begin in begins for number in range(length)]
    assert found == list(np.atleast_1d(numbers[box.slices]).ravel())


@given(views(expanded=True))
def test_a_box_of_a_view_is_a_view(view: View) -> None:
    places = addresses(view)
    for box in in_pieces(view, 24):
        assert (addresses(box.of(view)) == places[box.slices]).all()
