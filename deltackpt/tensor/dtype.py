"""The one table of element types: names, sizes, bit layout, and what other tools call them.

``Element`` is what the codec sees (a lane of 1, 2, 4 or 8 bytes, float or integer); ``DType`` is what a
tensor has. A complex number is two float elements. Everything is little-endian.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from deltackpt.errors import UnsupportedError


class Element(enum.IntEnum):
    """How the codec reads plain bytes. The numbers are on disk: never reuse or renumber one."""

    INT8 = 0
    INT16 = 1
    INT32 = 2
    INT64 = 3
    FLOAT8_E4M3 = 4
    FLOAT8_E5M2 = 5
    FLOAT16 = 6
    BFLOAT16 = 7
    FLOAT32 = 8
    FLOAT64 = 9

    @property
    def width(self) -> int:
        """Bytes of one element."""
        return _LAYOUT[self][0]

    @property
    def exponent_bits(self) -> int:
        """Width of the exponent field; 0 for integers."""
        return _LAYOUT[self][1]

    @property
    def mantissa_bits(self) -> int:
        """Width of the stored mantissa field; 0 for integers."""
        return _LAYOUT[self][2]


_LAYOUT: dict[Element, tuple[int, int, int]] = {
    Element.INT8: (1, 0, 0),
    Element.INT16: (2, 0, 0),
    Element.INT32: (4, 0, 0),
    Element.INT64: (8, 0, 0),
    Element.FLOAT8_E4M3: (1, 4, 3),
    Element.FLOAT8_E5M2: (1, 5, 2),
    Element.FLOAT16: (2, 5, 10),
    Element.BFLOAT16: (2, 8, 7),
    Element.FLOAT32: (4, 8, 23),
    Element.FLOAT64: (8, 11, 52),
}


@dataclass(frozen=True, slots=True)
class DType:
    """An element type of a tensor.

    ``name`` is PyTorch's and NumPy's word for it (``float32``, ``bfloat16``, ``float8_e4m3fn``);
    ``itemsize`` is in bytes; ``safetensors`` is that format's code, or None where it has none.
    """

    name: str
    itemsize: int
    element: Element
    safetensors: str | None

    def __str__(self) -> str:
        return self.name


DTYPES: dict[str, DType] = {
    d.name: d
    for d in (
        DType("float64", 8, Element.FLOAT64, "F64"),
        DType("float32", 4, Element.FLOAT32, "F32"),
        DType("float16", 2, Element.FLOAT16, "F16"),
        DType("bfloat16", 2, Element.BFLOAT16, "BF16"),
        DType("float8_e4m3fn", 1, Element.FLOAT8_E4M3, "F8_E4M3"),
        DType("float8_e5m2", 1, Element.FLOAT8_E5M2, "F8_E5M2"),
        DType("float8_e4m3fnuz", 1, Element.FLOAT8_E4M3, "F8_E4M3FNUZ"),
        DType("float8_e5m2fnuz", 1, Element.FLOAT8_E5M2, "F8_E5M2FNUZ"),
        DType("float8_e8m0fnu", 1, Element.INT8, "F8_E8M0"),
        DType("float4_e2m1fn_x2", 1, Element.INT8, "F4"),
        DType("complex32", 4, Element.FLOAT16, None),
        DType("complex64", 8, Element.FLOAT32, "C64"),
        DType("complex128", 16, Element.FLOAT64, None),
        DType("int64", 8, Element.INT64, "I64"),
        DType("int32", 4, Element.INT32, "I32"),
        DType("int16", 2, Element.INT16, "I16"),
        DType("int8", 1, Element.INT8, "I8"),
        DType("uint64", 8, Element.INT64, "U64"),
        DType("uint32", 4, Element.INT32, "U32"),
        DType("uint16", 2, Element.INT16, "U16"),
        DType("uint8", 1, Element.INT8, "U8"),
        DType("bool", 1, Element.INT8, "BOOL"),
        # Shells of PyTorch: bytes without arithmetic, one value of a narrow integer in each.
        *(DType(f"bits{form}", 1, Element.INT8, None) for form in ("8", "1x8", "2x4", "4x2")),
        DType("bits16", 2, Element.INT16, None),
        *(DType(f"{sign}int{bits}", 1, Element.INT8, None) for sign in ("", "u") for bits in range(1, 8)),
    )
}


def dtype_named(name: str) -> DType:
    """The table's entry for ``name``; UnsupportedError when a newer release wrote a name we do not know."""
    try:
        return DTYPES[name]
    except KeyError:
        raise UnsupportedError(f"unknown element type {name!r}; known are {', '.join(DTYPES)}") from None
