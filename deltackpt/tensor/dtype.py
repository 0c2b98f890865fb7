"""The one table of element types: names, sizes, bit layout, and what other tools call them.

``Element`` is what the codec sees (a lane of 1, 2, 4 or 8 bytes, float or integer); ``DType`` is what a
tensor has. A complex number is two float elements. Everything is little-endian.

Quantised weights come in *blocks*: a fixed number of values packed into a fixed number of bytes, mostly with their
scale. A block is one element of its tensor, and nothing here looks into it.
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
    ``block_values`` is how many values a block packs, None for what is no block. No framework has a type for a block.
    """

    name: str
    itemsize: int
    element: Element
    safetensors: str | None
    block_values: int | None = None

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


BYTES = DType("bytes", 1, Element.INT8, None)
"""Bytes of a file that are no tensor. They stand in the tensor table, in one dimension."""


def _block(name: str, values: int, nbytes: int) -> DType:
    # Pairs of bytes compress best: scales are float16 and stand at even places. Figures in docs/design/recipes.md.
    return DType(f"gguf.{name}", nbytes, Element.INT8 if nbytes % 2 else Element.INT16, None, values)


# Names and sizes of ggml's quantised types, the values of a block, then its bytes.
BLOCKS: dict[str, DType] = {
    d.name: d
    for d in (
        _block("q1_0", 128, 18),
        _block("q4_0", 32, 18),
        _block("q4_1", 32, 20),
        _block("q5_0", 32, 22),
        _block("q5_1", 32, 24),
        _block("q8_0", 32, 34),
        _block("q8_1", 32, 40),
        _block("q2_k", 256, 84),
        _block("q3_k", 256, 110),
        _block("q4_k", 256, 144),
        _block("q5_k", 256, 176),
        _block("q6_k", 256, 210),
        _block("q8_k", 256, 292),
        _block("iq1_s", 256, 50),
        _block("iq1_m", 256, 56),
        _block("iq2_xxs", 256, 66),
        _block("iq2_xs", 256, 74),
        _block("iq2_s", 256, 82),
        _block("iq3_xxs", 256, 98),
        _block("iq3_s", 256, 110),
        _block("iq4_nl", 32, 18),
        _block("iq4_xs", 256, 136),
        _block("tq1_0", 256, 54),
        _block("tq2_0", 256, 66),
        _block("mxfp4", 32, 17),
        _block("nvfp4", 64, 36),
        # Four floats of six bits in three bytes: no framework has such a type, one file format has.
        *(DType(f"safetensors.{code.lower()}", 3, Element.INT8, code, 4) for code in ("F6_E2M3", "F6_E3M2")),
    )
}


def dtype_named(name: str) -> DType:
    """The tables' entry for ``name``; UnsupportedError when a newer release wrote a name we do not know."""
    found = DTYPES.get(name) or BLOCKS.get(name) or (BYTES if name == BYTES.name else None)
    if found is None:
        raise UnsupportedError(f"unknown element type {name!r}; known are {', '.join((*DTYPES, *BLOCKS, BYTES.name))}")
    return found


def framework_form(dtype: DType, shape: tuple[int, ...]) -> tuple[DType, tuple[int, ...]]:
    """What a tensor is in a framework: itself, but blocks are uint8 with one dimension more, the bytes of a block."""
    if dtype.block_values is None:
        return dtype, shape
    return DTYPES["uint8"], (*shape, dtype.itemsize)
