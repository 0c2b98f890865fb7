"""The numbers that TensorFlow gives to element types (``DataType`` in types.proto).

Left out are texts, resources and variants, which have no plain bytes, and types of less than a byte.
"""

from __future__ import annotations

from deltackpt.tensor.dtype import DTYPES, DType

TYPES: dict[int, DType] = {
    number: DTYPES[name]
    for number, name in {
        1: "float32",
        2: "float64",
        3: "int32",
        4: "uint8",
        5: "int16",
        6: "int8",
        8: "complex64",
        9: "int64",
        10: "bool",
        11: "int8",  # qint8, and likewise below: a quantised type is stored as its whole numbers
        12: "uint8",
        13: "int32",
        14: "bfloat16",
        15: "int16",
        16: "uint16",
        17: "uint16",
        18: "complex128",
        19: "float16",
        22: "uint32",
        23: "uint64",
        24: "float8_e5m2",
        25: "float8_e4m3fn",
        26: "float8_e4m3fnuz",
        28: "float8_e5m2fnuz",
    }.items()
}
