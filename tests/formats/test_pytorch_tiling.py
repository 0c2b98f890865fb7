"""Views of one storage become spans that tile it, whatever they are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deltackpt.formats.pickles import Place
from deltackpt.formats.pickles.nodes import Storage, Tensor
from deltackpt.formats.pickles.paths import Step
from deltackpt.formats.pytorch import Namer
from deltackpt.formats.pytorch.dense import dense_range
from deltackpt.formats.pytorch.tiling import View, tensor_spans
from deltackpt.formats.spans import TensorSpan, check_tiling

COUNT = 24
STORAGE = Storage("0", "float32", 4, COUNT, "cpu")


def view(name: str, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> View:
    return View(Step(None, name), Tensor(STORAGE, "float32", 4, shape, strides, offset, requires_grad=False))


def flat(name: str, start: int, stop: int) -> View:
    return view(name, (stop - start,), (1,), start)


def spans(*views: View, storage: Storage = STORAGE) -> list[TensorSpan]:
    found = tensor_spans(storage, Place(0, storage.nbytes), views, Namer().name)
    check_tiling(found, storage.nbytes, "f")
    return found


def named(*views: View) -> list[tuple[str, tuple[int, ...]]]:
    return [(span.name, span.shape) for span in spans(*views)]


def test_one_tensor_is_the_storage() -> None:
    assert named(view("w", (4, 6), (6, 1))) == [("w", (4, 6))]


def test_the_first_of_several_wholes_names_it() -> None:
    assert named(flat("a", 0, 24), view("b", (4, 6), (6, 1))) == [("a", (24,))]


def test_a_whole_takes_its_parts_in() -> None:
    assert named(flat("b", 10, 24), flat("all", 0, 24), flat("a", 0, 10)) == [("all", (24,))]


def test_parts_without_a_whole_are_spans_of_their_own() -> None:
    rows = [flat(f"r{i}", 6 * i, 6 * i + 6) for i in range(4)]
    assert named(*rows) == [(f"r{i}", (6,)) for i in range(4)]
    assert named(*rows, flat("top", 0, 12)) == [("top", (12,)), ("r2", (6,)), ("r3", (6,))]


def test_what_overlaps_without_an_owner_is_flat() -> None:
    rows = [flat(f"r{i}", 6 * i, 6 * i + 6) for i in range(4)]
    assert named(*rows, flat("odd", 0, 13)) == [("r0@0", (18,)), ("r3", (6,))]
    assert named(flat("b", 2, 14), flat("a", 10, 20)) == [("b", (24,))]


def test_gaps_are_filled_under_the_first_name() -> None:
    assert named(flat("b", 10, 12), flat("a", 2, 4)) == [
        ("b@0", (2,)),
        ("a", (2,)),
        ("b@16", (6,)),
        ("b", (2,)),
        ("b@48", (12,)),
    ]


def test_what_is_flat_takes_in_the_gaps_beside_it() -> None:
    assert named(flat("b", 10, 12), flat("a", 2, 4), flat("c", 11, 20)) == [("b@0", (2,)), ("a", (2,)), ("b@16", (20,))]
    assert named(flat("b", 2, 6), flat("c", 3, 9), flat("a", 12, 18)) == [("b@0", (12,)), ("a", (6,)), ("b@72", (6,))]


def test_a_view_with_holes_leaves_the_storage_whole() -> None:
    assert named(view("even", (12,), (2,))) == [("even", (24,))]
    assert named(view("bands", (22, 3), (1, 1))) == [("bands", (24,))]


def test_a_storage_of_odd_length_has_bytes_at_its_end() -> None:
    storage = Storage("0", "uint8", 1, 10, "cpu")
    tensor = Tensor(storage, "float32", 4, (2,), (1,), 0, requires_grad=False)
    found = spans(View(Step(None, "w"), tensor), storage=storage)
    assert [(span.name, span.dtype.name, span.shape) for span in found] == [
        ("w", "float32", (2,)),
        ("w@8", "uint8", (2,)),
    ]


def test_a_storage_without_a_tensor_has_its_own_type() -> None:
    assert named(View(Step(None, "s"), None)) == [("s", (24,))]


@pytest.mark.parametrize(
    ("shape", "strides", "in_memory"),
    [
        ((4, 6), (6, 1), (4, 6)),
        ((6, 4), (1, 6), (4, 6)),
        ((1, 24, 1), (7, 1, 9), (1, 24, 1)),
        ((2, 1, 3, 4), (12, 5, 1, 3), (2, 4, 3)),
        ((), (), ()),
        ((0, 4), (4, 1), None),
        ((4, 5), (6, 1), None),
        ((4, 6), (0, 1), None),
        ((2, 2), (1, 1), None),
    ],
)
def test_the_shape_in_memory(
    shape: tuple[int, ...], strides: tuple[int, ...], in_memory: tuple[int, ...] | None
) -> None:
    tensor = view("w", shape, strides).tensor
    assert tensor is not None
    found = dense_range(tensor)
    assert (found and found.shape) == in_memory


@st.composite
def views(draw: st.DrawFn) -> tuple[View, torch.Tensor]:
    """A view as PyTorch makes it from a buffer: sliced, shaped, transposed, strided."""
    whole = torch.arange(COUNT)
    start = draw(st.integers(0, COUNT))
    tensor = whole[start : draw(st.integers(start, COUNT)) : draw(st.sampled_from([1, 1, 1, 2, 3]))]
    for rows in draw(st.permutations([2, 3])):
        if tensor.shape[-1] and tensor.shape[-1] % rows == 0 and draw(st.booleans()):
            tensor = tensor.unflatten(-1, (rows, -1))
    tensor = tensor.permute(draw(st.permutations(range(tensor.dim()))))
    name = draw(st.text("abc", min_size=1, max_size=3))
    return view(name, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset())), tensor


@settings(max_examples=300)
@given(st.lists(views(), min_size=1, max_size=8))
def test_any_views_tile_their_storage(drawn: list[tuple[View, torch.Tensor]]) -> None:
    """Names are distinct, every view lies within one span, and one that overlaps no other is a span of its own."""
    found = spans(*(view for view, _ in drawn))
    assert len({span.name for span in found}) == len(found)
    covered = {(span.offset, span.offset + span.length) for span in found}
    bounds = [view.bounds(4 * COUNT) for view, _ in drawn]
    for low, high in bounds:
        assert any(start <= low and high <= end for start, end in covered)
    for (low, high), (_, tensor) in zip(bounds, drawn, strict=True):
        apart = all(high <= start or end <= low for start, end in bounds if (start, end) != (low, high))
        if apart and tensor.numel() and tensor.flatten().sort()[0].diff().eq(1).all():
            assert (low, high) in covered
