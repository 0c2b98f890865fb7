"""Whether floating-point bytes hold infinities or NaN, read from the bits, so that no NumPy type is needed."""

from __future__ import annotations

import enum

from deltackpt.tensor.dtype import DType, Element


class Finiteness(enum.IntEnum):
    """The worst value found. -inf counts as finite: attention masks are full of it. On disk: never renumber."""

    FINITE = 0
    INFINITE = 1
    NAN = 2


# Bit patterns of +inf; a larger magnitude is NaN. The other 8-bit floats have no infinity and one NaN of either sign.
_INFINITY = {
    Element.FLOAT16: 0x7C00,
    Element.BFLOAT16: 0x7F80,
    Element.FLOAT32: 0x7F800000,
    Element.FLOAT64: 0x7FF0000000000000,
    Element.FLOAT8_E5M2: 0x7C,
}
_NAN_BYTES = {
    "float8_e4m3fn": (0x7F, 0xFF),
    "float8_e4m3fnuz": (0x80,),
    "float8_e5m2fnuz": (0x80,),
    "float8_e8m0fnu": (0xFF,),
}


def finiteness(plain: memoryview, dtype: DType) -> Finiteness:
    """The worst of the elements in ``plain``. Integers are always finite. Two passes at memory speed."""
    # Manifests carry Finiteness, and listing commits must not wait 0.1 s for NumPy.
    import numpy as np

    if dtype.name in _NAN_BYTES:
        data = np.frombuffer(plain, np.uint8)
        return Finiteness.NAN if any((data == nan).any() for nan in _NAN_BYTES[dtype.name]) else Finiteness.FINITE
    infinity = _INFINITY.get(dtype.element)
    width = dtype.element.width
    if infinity is None or len(plain) < width:
        return Finiteness.FINITE
    # As signed integers the largest positive pattern is +inf or a positive NaN, if there is one; as unsigned, a
    # pattern above that of -inf is a negative NaN.
    largest = int(np.frombuffer(plain, f"<i{width}").max())
    unsigned = int(np.frombuffer(plain, f"<u{width}").max())
    if largest > infinity or unsigned > infinity | 1 << (8 * width - 1):
        return Finiteness.NAN
    return Finiteness.INFINITE if largest == infinity else Finiteness.FINITE
