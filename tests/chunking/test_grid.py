"""The chunk grid: edges on whole rows, and never where the number of rows would move them."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltackpt.chunking.grid import TARGET_CHUNK_BYTES, Grid, grid_for

SHAPES = st.lists(st.integers(0, 300), min_size=0, max_size=4).map(tuple)
ITEMS = st.sampled_from([1, 2, 4, 8, 16])
TARGETS = st.sampled_from([16, 64, 1000, 4096])


@given(ITEMS, SHAPES, TARGETS)
def test_spans_cover_every_byte_once_in_order(item: int, shape: tuple[int, ...], target: int) -> None:
    nbytes = item * prod(shape)
    spans = list(grid_for(item, shape, target).spans(nbytes)) if nbytes < 1 << 20 else []
    edges = [start for start, _ in spans] + [spans[-1][1]] if spans else [0]
    assert edges[0] == 0
    assert not spans or edges[-1] == nbytes
    assert all(stop == start for (_, stop), (start, _) in pairwise(spans))
    assert all(0 < stop - start <= max(target, item) for start, stop in spans)
    assert all(start % item == 0 for start, _ in spans)


@given(ITEMS, SHAPES, TARGETS)
def test_count_and_index_agree_with_the_spans(item: int, shape: tuple[int, ...], target: int) -> None:
    grid = grid_for(item, shape, target)
    nbytes = min(item * prod(shape), item * 5000)
    spans = list(grid.spans(nbytes))
    assert grid.count(nbytes) == len(spans)
    for number, (start, stop) in enumerate(spans):
        assert grid.index(start) == grid.index(stop - 1) == number


@given(ITEMS, st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple), TARGETS, st.integers(1, 50))
def test_more_rows_keep_every_full_chunk(item: int, shape: tuple[int, ...], target: int, more: int) -> None:
    grown = (shape[0] + more, *shape[1:])
    grid = grid_for(item, shape, target)
    assert grid_for(item, grown, target) == grid
    before, after = list(grid.spans(item * prod(shape))), list(grid.spans(item * prod(grown)))
    assert after[: len(before) - 1] == before[:-1]


@given(ITEMS, st.lists(st.integers(1, 40), min_size=2, max_size=3).map(tuple), TARGETS)
def test_edges_stand_on_whole_rows_or_within_one(item: int, shape: tuple[int, ...], target: int) -> None:
    row = item * prod(shape[1:])
    for start, stop in grid_for(item, shape, target).spans(item * prod(shape)):
        whole = start % row == 0 and stop % row == 0
        assert whole or start // row == (stop - 1) // row


def test_known_grids() -> None:
    assert TARGET_CHUNK_BYTES == 4 << 20
    assert grid_for(4, (50_000, 256)) == Grid(4 << 20, 4 << 20)
    assert grid_for(4, (10, 300)) == Grid(1200 * 3495, 1200 * 3495)
    assert grid_for(2, (4, 3_000_000)) == Grid(6_000_000, 2 << 20)
    assert grid_for(1, (10_000, 1000)) == Grid(1_048_000, 1_048_000)
    assert grid_for(8, ()) == Grid(4 << 20, 4 << 20)
    assert grid_for(4, (5, 0), 1 << 20) == Grid(1 << 20, 1 << 20)
    assert list(Grid(10, 4).spans(25)) == [(0, 4), (4, 8), (8, 10), (10, 14), (14, 18), (18, 20), (20, 24), (24, 25)]


@given(SHAPES, TARGETS)
def test_a_rounded_copy_is_cut_at_the_same_elements(shape: tuple[int, ...], target: int) -> None:
    count = min(prod(shape), 5000)
    wide, narrow = grid_for(4, shape, target), grid_for(2, shape, target)
    assert list(wide.spans(4 * count)) == [(2 * start, 2 * stop) for start, stop in narrow.spans(2 * count)]


@pytest.mark.parametrize(("period", "piece"), [(0, 0), (4, 0), (4, 5), (4, -1)])
def test_a_grid_that_cannot_be(period: int, piece: int) -> None:
    with pytest.raises(ValueError, match=f"^grid needs 0 < piece <= period, got piece {piece}, period {period}$"):
        Grid(period, piece)


@given(
    st.integers(1, 40).flatmap(lambda piece: st.tuples(st.just(piece), st.integers(piece, 120))),
    st.integers(1, 700),
    st.data(),
)
def test_spans_of_a_range(cut: tuple[int, int], nbytes: int, data: st.DataObject) -> None:
    grid = Grid(cut[1], cut[0])
    start = data.draw(st.integers(0, nbytes - 1))
    stop = data.draw(st.integers(start + 1, nbytes))
    spans = list(grid.spans(nbytes))
    touching = [span for span in spans if span[0] < stop and span[1] > start]
    assert list(grid.spans_touching(start, stop, nbytes)) == touching
    assert spans.index(touching[0]) == grid.index(start)
