"""``zarr.json`` of an array, by the core specification of version 3."""

from __future__ import annotations

import msgspec

from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.zarr.layout import ChunkLayout
from deltackpt.formats.zarr.metadata import checked, decoded, read_json
from deltackpt.tensor.dtype import DTYPES

_NOTHING = msgspec.Raw(b"{}")


class _Node(msgspec.Struct):
    zarr_format: int
    node_type: str


class _Extension(msgspec.Struct):
    """Something with a name, and a configuration that depends on the name."""

    name: str
    configuration: msgspec.Raw = _NOTHING


class _Array(msgspec.Struct):
    shape: tuple[int, ...]
    data_type: str | _Extension
    chunk_grid: str | _Extension
    chunk_key_encoding: str | _Extension
    codecs: tuple[str | _Extension, ...]
    storage_transformers: tuple[msgspec.Raw, ...] = ()


class _RegularGrid(msgspec.Struct):
    chunk_shape: tuple[int, ...]


class _DefaultKeys(msgspec.Struct):
    separator: str = "/"


class _Bytes(msgspec.Struct):
    endian: str | None = None


def read_layout(file: SourceFile) -> ChunkLayout | None:
    """How the array is cut, when its chunks are plain little-endian bytes; None for groups and all other arrays."""
    text = read_json(file)
    node = decoded(file, text, _Node)
    if node.zarr_format != 3 or node.node_type != "array":
        return None
    array = decoded(file, text, _Array)
    grid, keys = _extension(array.chunk_grid), _extension(array.chunk_key_encoding)
    dtype = DTYPES.get(array.data_type) if isinstance(array.data_type, str) else None
    if dtype is None or grid.name != "regular" or keys.name != "default" or array.storage_transformers:
        return None
    if not _are_plain_bytes(file, array.codecs, dtype.itemsize):
        return None
    chunk_shape = decoded(file, bytes(grid.configuration), _RegularGrid).chunk_shape
    separator = decoded(file, bytes(keys.configuration), _DefaultKeys).separator
    if separator not in ("/", "."):
        return None
    return checked(file, ChunkLayout(dtype, array.shape, chunk_shape, ("c",), separator))


def _are_plain_bytes(file: SourceFile, codecs: tuple[str | _Extension, ...], itemsize: int) -> bool:
    if len(codecs) != 1:
        return False
    codec = _extension(codecs[0])
    if codec.name != "bytes":
        return False
    endian = decoded(file, bytes(codec.configuration), _Bytes).endian
    return endian == "little" or (endian is None and itemsize == 1)


def _extension(written: str | _Extension) -> _Extension:
    """A name alone stands for itself without a configuration."""
    return _Extension(written) if isinstance(written, str) else written
