"""``.zarray``, by the specification of version 2."""

from __future__ import annotations

import re

import msgspec

from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.zarr.layout import ChunkLayout
from deltackpt.formats.zarr.metadata import checked, decoded, read_json
from deltackpt.tensor.dtype import DTYPES, DType

_NULL = b"null"
_TYPE = re.compile(r"([<|])([biufc])([0-9]{1,2})")
_KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}


class _Array(msgspec.Struct):
    zarr_format: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: msgspec.Raw
    order: str
    compressor: msgspec.Raw
    filters: msgspec.Raw
    dimension_separator: str = "."


def read_layout(file: SourceFile) -> ChunkLayout | None:
    """How the array is cut, when its chunks are plain little-endian bytes in C order; None for all others."""
    array = decoded(file, read_json(file), _Array)
    dtype = _dtype(bytes(array.dtype))
    plain = bytes(array.compressor) == _NULL == bytes(array.filters) and array.order == "C"
    if array.zarr_format != 2 or dtype is None or not plain or array.dimension_separator not in ("/", "."):
        return None
    return checked(file, ChunkLayout(dtype, array.shape, array.chunks, (), array.dimension_separator))


def _dtype(written: bytes) -> DType | None:
    """A NumPy type string of a number; big-endian ones, texts and structured types are none."""
    match = _TYPE.fullmatch(written.decode(errors="replace").strip('"'))
    if match is None:
        return None
    order, kind, size = match.groups()
    dtype = DTYPES.get("bool" if kind == "b" else f"{_KINDS[kind]}{int(size) * 8}")
    fits = dtype is not None and dtype.itemsize == int(size) and (order == "<" or dtype.itemsize == 1)
    return dtype if fits else None
