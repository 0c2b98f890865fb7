"""Scaling: a base multiplied by one number before it is subtracted.

Adam's moments decay by the same factor wherever no gradient came, so k steps later many of them are the old value
times 0.9 or 0.999 to the power of k, to the last few places. The factor is not told to us; it is the one ratio of
new to old value that many elements share.

The product must be the same bits on every machine. One IEEE multiplication is, but for what a processor may be told to
do otherwise: denormals flushed to zero, payloads of NaN. So very small and non-finite values stand for themselves.
"""

from __future__ import annotations

import math
import struct
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deltackpt.codec.lanes import Lanes
from deltackpt.codec.payload import Cursor, PayloadError
from deltackpt.codec.scratch import scratch

_FORM = struct.Struct("<f")
_SMALLEST, _LARGEST = 2.0**-20, 1.0
# Magnitudes from 2^-102 on are multiplied: their products stay far from denormals. Above: infinities and NaN.
_FROM = np.uint32(25 << 23)
_RANGE = np.uint32((255 - 25) << 23)
_MAGNITUDE = np.uint32(0x7FFFFFFF)
# Ratios that agree in their upper bits, 1 part in 4096, are one candidate; so many values must share it.
_CELL_BITS = 12
_LEAST_SHARE = 1 / 128

Floats: TypeAlias = NDArray[np.float32]


class Scale(float):
    """A factor of float32 precision from 2^-20 to 1, which alone a payload may hold."""

    @classmethod
    def of(cls, value: float) -> Self:
        return cls(_FORM.unpack(_FORM.pack(value))[0])

    def pack(self) -> bytes:
        return _FORM.pack(self)

    @classmethod
    def read(cls, payload: Cursor) -> Self:
        (value,) = _FORM.unpack(payload.take(_FORM.size))
        if not _SMALLEST <= value <= _LARGEST:
            raise PayloadError(f"a base scaled by {value}")
        return cls(value)


UNSCALED = Scale(1.0)


def scaled(base: Lanes, scale: Scale) -> Lanes:
    """``base`` (float32 bits) times ``scale``, in scratch."""
    product: Lanes = scratch.array("scaled", base.dtype, base.size)
    outside: Lanes = scratch.array("scaled-outside", base.dtype, base.size)
    with np.errstate(all="ignore"):
        np.multiply(base.view(np.float32), np.float32(scale), out=product.view(np.float32))
    np.bitwise_and(base, _MAGNITUDE, out=outside)
    np.subtract(outside, _FROM, out=outside)  # wraps below, far beyond the range
    mask = np.greater_equal(outside, _RANGE, out=scratch.array("mask", np.bool_, base.size))
    np.copyto(product, base, where=mask)
    return product


def fitting_scale(new: Lanes, old: Lanes) -> Scale | None:
    """The factor that takes the most values of ``old`` to ``new`` (both float32 bits); None when too few share one."""
    with np.errstate(all="ignore"):
        ratios: Floats = np.divide(new.view(np.float32), old.view(np.float32), dtype=np.float32)
    ratios = ratios[(ratios >= _SMALLEST) & (ratios <= _LARGEST)]
    if ratios.size < new.size * _LEAST_SHARE:
        return None
    ratios.sort()
    cells = ratios.view(np.uint32) >> (23 - _CELL_BITS)
    edges = np.flatnonzero(np.concatenate(([True], cells[1:] != cells[:-1], [True])))
    fullest = int(np.diff(edges).argmax())
    start, stop = int(edges[fullest]), int(edges[fullest + 1])
    if stop - start < new.size * _LEAST_SHARE:
        return None
    scale = Scale.of(float(ratios[(start + stop) // 2]))
    return None if math.isclose(scale, 1.0, rel_tol=2.0**-_CELL_BITS) else scale
