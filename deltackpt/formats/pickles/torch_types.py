"""Element types by PyTorch's names, and by the names of its storage classes."""

from __future__ import annotations

from deltackpt.tensor.dtype import DTYPES, DType, dtype_named

# Quantised types have no entry in the table of element types: kept as plain integers of the same width.
_INTEGERS_OF = {"quint8": "uint8", "quint4x2": "uint8", "quint2x4": "uint8", "qint8": "int8", "qint32": "int32"}

ELEMENTS: dict[str, DType] = DTYPES | {name: dtype_named(plain) for name, plain in _INTEGERS_OF.items()}
"""How the elements of each type are kept."""

PACKED = {"quint4x2": 2, "quint2x4": 4}
"""How many values of these types one element of a storage holds."""

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
    "UntypedStorage": "uint8",
}


def storage_dtype(symbol: str) -> str | None:
    """The element type of the storage class with the dotted name ``symbol`` (``torch.cuda.FloatStorage``)."""
    module, _, name = symbol.rpartition(".")
    return _STORAGES.get(name) if module.split(".")[0] == "torch" else None
