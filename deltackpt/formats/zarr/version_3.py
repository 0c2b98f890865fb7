"""``zarr.json`` of an array, by the core specification of version 3."""

from __future__ import annotations

import msgspec

from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.zarr.layout import ChunkLayout, Sharding
from deltackpt.formats.zarr.metadata import checked, decoded, read_json
from deltackpt.tensor.dtype import DTYPES

_NOTHING = msgspec.Raw(b"{}")
_INDEX_BYTES = 8


class _Node(msgspec.Struct):
    zarr_format: int
    node_type: str


class _Extension(msgspec.Struct):
    """Something with a name, and a configuration that depends on the name."""

    name: str
    configuration: msgspec.Raw = _NOTHING


_Codecs = tuple[str | _Extension, ...]


class _Array(msgspec.Struct):
    shape: tuple[int, ...]
    data_type: str | _Extension
    chunk_grid: str | _Extension
    chunk_key_encoding: str | _Extension
    codecs: _Codecs
    storage_transformers: tuple[msgspec.Raw, ...] = ()


class _RegularGrid(msgspec.Struct):
    chunk_shape: tuple[int, ...]


class _DefaultKeys(msgspec.Struct):
    separator: str = "/"


class _Bytes(msgspec.Struct):
    endian: str | None = None


class _Sharding(msgspec.Struct):
    chunk_shape: tuple[int, ...]
    codecs: _Codecs
    index_codecs: _Codecs
    index_location: str = "end"


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
    sharding = _sharding(file, array.codecs)
    if not _are_plain_bytes(file, array.codecs if sharding is None else sharding.codecs, dtype.itemsize):
        return None
    inner = None if sharding is None else _inner(file, sharding)
    if sharding is not None and inner is None:
        return None
    chunk_shape = decoded(file, bytes(grid.configuration), _RegularGrid).chunk_shape
    separator = decoded(file, bytes(keys.configuration), _DefaultKeys).separator
    if separator not in ("/", "."):
        return None
    return checked(file, ChunkLayout(dtype, array.shape, chunk_shape, ("c",), separator, inner))


def _sharding(file: SourceFile, codecs: _Codecs) -> _Sharding | None:
    """The configuration of the one codec that cuts a chunk once more."""
    codec = _extension(codecs[0]) if len(codecs) == 1 else None
    if codec is None or codec.name != "sharding_indexed":
        return None
    return decoded(file, bytes(codec.configuration), _Sharding)


def _inner(file: SourceFile, sharding: _Sharding) -> Sharding | None:
    """How a chunk is cut once more; None for an index of another form."""
    codecs = sharding.index_codecs
    has_checksum = len(codecs) > 1 and _extension(codecs[-1]).name == "crc32c"
    plain = codecs[:-1] if has_checksum else codecs
    if not _are_plain_bytes(file, plain, _INDEX_BYTES) or sharding.index_location not in ("start", "end"):
        return None
    return Sharding(sharding.chunk_shape, sharding.index_location == "start", has_checksum)


def _are_plain_bytes(file: SourceFile, codecs: _Codecs, itemsize: int) -> bool:
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
