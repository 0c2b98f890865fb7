"""Rounding: the 16-bit float that a float32 becomes, to the nearest and ties to even, as every framework rounds.

Training in mixed precision keeps its weights twice, in float32 and rounded; the second copy is then known from the
first. A value that was rounded in another way (or is NaN) is only a worse prediction. What is computed here must be
the same bits on every machine.
"""

from __future__ import annotations

import numpy as np

from deltackpt.codec.lanes import Lanes
from deltackpt.codec.payload import PayloadError
from deltackpt.codec.scratch import scratch
from deltackpt.tensor.dtype import Element

ROUNDED = frozenset({Element.BFLOAT16, Element.FLOAT16})
_NAN_FLOAT16 = np.uint16(0x7E00)


def rounded(wide: Lanes, element: Element) -> Lanes:
    """``wide`` (float32 bits) as bits of ``element``, in scratch."""
    if element not in ROUNDED:
        raise PayloadError(f"{element.name} as a rounded float32")
    narrow: Lanes = scratch.array("rounded", np.uint16, wide.size)
    work: Lanes = scratch.array("rounding", np.uint32, wide.size)
    if element is Element.BFLOAT16:
        _bfloat16(wide, work, narrow)
    else:
        _float16(wide, work, narrow)
    return narrow


def _bfloat16(wide: Lanes, work: Lanes, narrow: Lanes) -> None:
    """Half of the last place less one, and one more where the last place is odd, is added; the rest is cut off."""
    np.right_shift(wide, 16, out=work)
    np.bitwise_and(work, 1, out=work)
    np.add(work, 0x7FFF, out=work)
    np.add(work, wide, out=work)
    np.right_shift(work, 16, out=work)
    np.copyto(narrow, work, casting="unsafe")


def _float16(wide: Lanes, work: Lanes, narrow: Lanes) -> None:
    """The processor's conversion is exact; denormal float32 are zero in any case, and NaN differ between processors."""
    with np.errstate(all="ignore"):
        np.copyto(narrow.view(np.float16), wide.view(np.float32), casting="unsafe")
    np.bitwise_and(wide, 0x7FFFFFFF, out=work)
    mask = np.greater(work, 0x7F800000, out=scratch.array("mask", np.bool_, wide.size))
    np.copyto(narrow, _NAN_FLOAT16, where=mask)
