"""Which bytes of its storage a tensor covers without a hole, and the shape that they have in the order of memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from deltackpt.formats.pickles.nodes import Tensor
from deltackpt.formats.pickles.torch_types import ELEMENTS, PACKED
from deltackpt.tensor.dtype import DType


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes ``start`` to ``end`` of a storage are a row-major tensor of ``shape``."""

    start: int
    end: int
    dtype: DType
    shape: tuple[int, ...]


def dense_range(tensor: Tensor) -> Range | None:
    """What ``tensor`` covers; None when it has no element, leaves holes, or names an element twice.

    A transposed or channels-last tensor has its bytes in another order than its indices: it comes with the shape
    that its bytes have.
    """
    shape = _shape_in_memory(tensor.shape, tensor.strides)
    if shape is None or tensor.dtype in PACKED:
        return None
    start = tensor.offset * tensor.itemsize
    return Range(start, start + prod(shape) * tensor.itemsize, ELEMENTS[tensor.dtype], shape)


def _shape_in_memory(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...] | None:
    if 0 in shape:
        return None
    dimensions = [(step, extent) for extent, step in zip(shape, strides, strict=True) if extent != 1]
    if _is_row_major(dimensions):
        return shape
    dimensions.sort(reverse=True)
    return tuple(extent for _, extent in dimensions) if _is_row_major(dimensions) else None


def _is_row_major(dimensions: Iterable[tuple[int, int]]) -> bool:
    expected = 1
    for step, extent in reversed(list(dimensions)):
        if step != expected:
            return False
        expected *= extent
    return True
