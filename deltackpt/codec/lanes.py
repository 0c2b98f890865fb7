"""A chunk as elements: unsigned lanes of the element's width, and the ragged bytes after the last whole one.

All arithmetic of the codec is on unsigned integers, so it is exact and equal on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from deltackpt.codec.scratch import scratch
from deltackpt.tensor.dtype import Element

Lanes: TypeAlias = NDArray[np.unsignedinteger[Any]]
Bytes: TypeAlias = NDArray[np.uint8]

LANE: Mapping[int, DTypeLike] = {1: np.dtype("u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}


def whole_size(size: int, element: Element) -> int:
    """How many of ``size`` bytes belong to whole elements; the others are the ragged tail."""
    return size - size % element.width


def lanes_of(plain: memoryview, element: Element, slot: str) -> Lanes:
    """The whole elements of ``plain``: a view, or an aligned copy in scratch ``slot`` where it is unaligned.

    NumPy reads unaligned memory through a buffer of its own, several times slower than one copy.
    """
    view = np.frombuffer(plain, np.uint8, whole_size(plain.nbytes, element))
    if is_aligned(view, element.width):
        return as_lanes(view, element)
    copy: Lanes = scratch.array(slot, LANE[element.width], view.size // element.width)
    np.copyto(copy.view(np.uint8), view)
    return copy


def as_lanes(view: Bytes, element: Element) -> Lanes:
    """``view``, aligned and of whole elements, as its elements."""
    lanes: Lanes = view.view(LANE[element.width])
    return lanes


def is_aligned(view: Bytes, width: int) -> bool:
    """Whether elements of ``width`` bytes could be read where ``view`` begins."""
    # NumPy's other ways to an address cost more, and one of them crashes where it is refused memory.
    return view[: view.size - view.size % width].view(LANE[width]).flags.aligned
