"""The numbers that GGUF gives to types: those of tensors (ggml's), and those of metadata values.

Of the tensors' numbers ggml has retired 4, 5, 31 to 33 and 36 to 38; others that are missing are newer than this table.
"""

from __future__ import annotations

from struct import calcsize

from deltackpt.tensor.dtype import DType, dtype_named

TENSOR_TYPES: dict[int, DType] = {
    number: dtype_named(name)
    for number, name in {
        0: "float32",
        1: "float16",
        2: "gguf.q4_0",
        3: "gguf.q4_1",
        6: "gguf.q5_0",
        7: "gguf.q5_1",
        8: "gguf.q8_0",
        9: "gguf.q8_1",
        10: "gguf.q2_k",
        11: "gguf.q3_k",
        12: "gguf.q4_k",
        13: "gguf.q5_k",
        14: "gguf.q6_k",
        15: "gguf.q8_k",
        16: "gguf.iq2_xxs",
        17: "gguf.iq2_xs",
        18: "gguf.iq3_xxs",
        19: "gguf.iq1_s",
        20: "gguf.iq4_nl",
        21: "gguf.iq3_s",
        22: "gguf.iq2_s",
        23: "gguf.iq4_xs",
        24: "int8",
        25: "int16",
        26: "int32",
        27: "int64",
        28: "float64",
        29: "gguf.iq1_m",
        30: "bfloat16",
        34: "gguf.tq1_0",
        35: "gguf.tq2_0",
        39: "gguf.mxfp4",
        40: "gguf.nvfp4",
        41: "gguf.q1_0",
    }.items()
}

UINT32 = 4
STRING = 8
ARRAY = 9

# As the module struct has them: uint8, int8, uint16, int16, uint32, int32, float32, bool; uint64, int64, float64.
SCALAR_FORMATS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    UINT32: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
SCALAR_BYTES = {kind: calcsize(f"<{format}") for kind, format in SCALAR_FORMATS.items()}
