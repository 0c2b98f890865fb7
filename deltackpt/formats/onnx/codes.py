"""The numbers that ONNX gives to element types, and what their raw bytes are as a tensor."""

from __future__ import annotations

from math import prod

from deltackpt.tensor.dtype import DTYPES, DType

FLOAT, DOUBLE, COMPLEX64, COMPLEX128 = 1, 11, 14, 15

_TYPES: dict[int, DType] = {
    number: DTYPES[name]
    for number, name in {
        FLOAT: "float32",
        2: "uint8",
        3: "int8",
        4: "uint16",
        5: "int16",
        6: "int32",
        7: "int64",
        9: "bool",
        10: "float16",
        DOUBLE: "float64",
        12: "uint32",
        13: "uint64",
        COMPLEX64: "complex64",
        COMPLEX128: "complex128",
        16: "bfloat16",
        17: "float8_e4m3fn",
        18: "float8_e4m3fnuz",
        19: "float8_e5m2",
        20: "float8_e5m2fnuz",
        24: "float8_e8m0fnu",
    }.items()
}

# Types of which a byte holds several values, and how many: uint4, int4, float4e2m1, uint2, int2. Bytes are filled
# without regard to rows, so a tensor keeps its shape only when a row is a whole number of bytes.
_FLOAT4 = 23
_PACKED: dict[int, tuple[DType, int]] = {
    21: (DTYPES["uint8"], 2),
    22: (DTYPES["uint8"], 2),
    _FLOAT4: (DTYPES["float4_e2m1fn_x2"], 2),
    25: (DTYPES["uint8"], 4),
    26: (DTYPES["uint8"], 4),
}

Form = tuple[DType, tuple[int, ...]]


def form_of(number: int, dims: tuple[int, ...]) -> Form | None:
    """Element type and shape of a tensor's raw bytes; None when the number is not in the table."""
    if number in _TYPES:
        return _TYPES[number], dims
    if number not in _PACKED:
        return None
    dtype, values = _PACKED[number]
    if dims and dims[-1] % values == 0:
        return dtype, (*dims[:-1], dims[-1] // values)
    return DTYPES["uint8"], (-(-prod(dims) // values),)


def written_as(dtype: DType, shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]] | None:
    """The number and dims of a tensor that has ``dtype`` and ``shape`` when it is read; None when there are none."""
    for number, known in _TYPES.items():
        if known == dtype:
            return number, shape
    values = _PACKED[_FLOAT4][1]
    return (_FLOAT4, (*shape[:-1], shape[-1] * values)) if dtype == _PACKED[_FLOAT4][0] and shape else None
