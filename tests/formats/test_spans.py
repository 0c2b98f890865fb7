"""Spans must tile a file; the first one that does not is named."""

from __future__ import annotations

import pytest

from deltackpt.errors import FormatError
from deltackpt.formats.spans import Literal, Span, TensorSpan, check_tiling
from deltackpt.tensor.dtype import DTYPES


def tensor(name: str, offset: int, length: int) -> TensorSpan:
    return TensorSpan(name, DTYPES["uint8"], (length,), offset, length)


def test_literals_and_tensors_that_meet_tile_a_file() -> None:
    check_tiling([Literal(0, 10), tensor("a", 10, 4), tensor("none", 14, 0), Literal(14, 2)], 16, "f")


def test_no_spans_tile_an_empty_file() -> None:
    check_tiling([], 0, "f")


@pytest.mark.parametrize(
    ("spans", "size", "fault", "byte", "expected", "found"),
    [
        ([Literal(1, 1)], 2, "a literal leaves a hole after the start of the file", 1, "offset 0", "1"),
        ([Literal(0, 4), tensor("a", 6, 1)], 7, "tensor 'a' leaves a hole after the header", 6, "offset 4", "6"),
        ([Literal(0, 4), tensor("a", 3, 1)], 4, "tensor 'a' overlaps the header", 3, "offset 4", "3"),
        ([tensor("a", 0, 4), tensor("\x1b", 2, 4)], 6, r"tensor '\x1b' overlaps tensor 'a'", 2, "offset 4", "2"),
        ([tensor("a", 0, 4), Literal(5, 1)], 6, "a literal leaves a hole after tensor 'a'", 5, "offset 4", "5"),
        ([Literal(0, 4)], 5, "trailing bytes", 4, "a file of 4 bytes", "5"),
        ([Literal(0, 4)], 3, "the data is cut off", 3, "a file of 4 bytes", "3"),
    ],
)
def test_what_does_not_tile_is_named(
    spans: list[Span], size: int, fault: str, byte: int, expected: str, found: str
) -> None:
    with pytest.raises(FormatError) as caught:
        check_tiling(spans, size, "f")
    assert str(caught.value) == f"f: {fault} at byte {byte}; expected {expected}, found {found}"
