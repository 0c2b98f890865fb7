"""PyTorch's file: a dict of tensors, numbers and texts by name, which ``torch.load`` loads with ``weights_only``.

``torch.save`` wants all tensors at once. Here its archive is written entry by entry, one tensor in memory at a time;
what stands in the pickle for a tensor is what PyTorch itself puts there for one of that type.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deltackpt.convert.flat import FlatState, FlatTensor
from deltackpt.convert.library import library
from deltackpt.convert.shards import index_of, shard_names, shards
from deltackpt.convert.stream import TargetStream
from deltackpt.errors import InvalidInputError
from deltackpt.formats.wording import quoted
from deltackpt.fs.disk import Disk, storage_errors
from deltackpt.fs.target import TargetFile
from deltackpt.fs.target_folder import TargetFolder
from deltackpt.skeleton.view import row_major

_NAME = "pytorch_model"
_FOLDER_MODE = 0o755
_FOLDER = "archive"
"""In which all entries of the archive are."""
_VERSION = b"3\n"
_ALIGNMENT = 64
_LARGE = 1 << 30
"""From here on an entry says its size in 64 bits."""
_LOCAL_HEADER_BYTES = 30
_WIDE_SIZE_BYTES = 20
_PADDING = 0x4246
"""What PyTorch calls the field of a header that is there for its length."""


def write(disk: Disk, state: FlatState, path: str, *, force: bool) -> int:
    """Write the file; returns its size. InvalidInputError for what ``weights_only`` would not load."""
    torch = library("torch", "a PyTorch file")
    state.refuse_nodes("a PyTorch file of weights")
    _check_types(torch, state)
    with TargetFile(disk, path, state.nbytes, force=force) as target:
        stream = TargetStream(target)
        _write(torch, stream, state.tensors, state.values)
        state.check_unchanged()
    return stream.size


def write_shards(disk: Disk, state: FlatState, path: str, shard_bytes: int, *, force: bool) -> int:
    """Write a folder as Transformers does: ``pytorch_model.bin``, or several with at most ``shard_bytes`` and an index.

    A larger tensor has a file of its own. Returns the bytes of all files.
    """
    torch = library("torch", "a PyTorch file")
    state.refuse_values("a PyTorch file in shards")
    _check_types(torch, state)
    cut = list(shards(state.tensors, shard_bytes))
    named = dict(zip(shard_names(_NAME, len(cut), ".bin"), cut, strict=True))
    with TargetFolder(disk, path, state.nbytes, force=force) as target, storage_errors("writing", path):
        target.folder("", _FOLDER_MODE, time.time_ns())
        for name, shard in named.items():
            with open(os.path.join(target.staged, name), "wb") as file:
                _write(torch, file, shard, {})
        if len(cut) > 1:
            with open(os.path.join(target.staged, f"{_NAME}.bin.index.json"), "wb") as file:
                file.write(index_of(named))
        size = target.take_in()
        state.check_unchanged()
    return size


def _check_types(torch: Any, state: FlatState) -> None:
    for tensor in state.tensors:
        if not hasattr(torch, tensor.dtype.name):
            raise InvalidInputError(
                f"tensor {quoted(tensor.name)}: this PyTorch has no {tensor.dtype}; upgrade PyTorch"
            )


def _write(torch: Any, stream: Any, tensors: Sequence[FlatTensor], values: Mapping[str, Any]) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, size, read in _entries(torch, tensors, values):
            entry = zipfile.ZipInfo(f"{_FOLDER}/{name}")
            entry.extra = _padding(stream.tell() + _LOCAL_HEADER_BYTES + len(entry.filename), size)
            with archive.open(entry, "w", force_zip64=size >= _LARGE) as file:
                file.write(read())


def _entries(
    torch: Any, tensors: Sequence[FlatTensor], values: Mapping[str, Any]
) -> Iterator[tuple[str, int, Callable[[], bytes | memoryview]]]:
    described = _pickled(torch, tensors, values)
    yield "data.pkl", len(described), lambda: described
    yield "byteorder", len(b"little"), lambda: b"little"
    for number, tensor in enumerate(tensors):
        yield f"data/{number}", tensor.nbytes, tensor.read
    yield "version", len(_VERSION), lambda: _VERSION


def _padding(offset: int, size: int) -> bytes:
    """The extra field after which an entry's bytes begin where PyTorch wants them, for mapping them into memory."""
    missing = -(offset + (_WIDE_SIZE_BYTES if size >= _LARGE else 0)) % _ALIGNMENT
    missing += _ALIGNMENT if 0 < missing < 4 else 0
    return struct.pack("<HH", _PADDING, missing - 4) + bytes(missing - 4) if missing else b""


@dataclass(frozen=True, slots=True, eq=False)
class _Stored:
    """A storage: the persistent id that the pickle has in its place."""

    identity: tuple[object, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Built:
    """A tensor: the function and the arguments that make it when the pickle is loaded."""

    reduced: tuple[Any, tuple[Any, ...]]


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.identity if isinstance(obj, _Stored) else None

    def reducer_override(self, obj: Any) -> Any:
        return obj.reduced if isinstance(obj, _Built) else NotImplemented


def _pickled(torch: Any, tensors: Sequence[FlatTensor], values: Mapping[str, Any]) -> bytes:
    built = {tensor.name: _built(torch, tensor, str(number)) for number, tensor in enumerate(tensors)}
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=2).dump({**built, **values})
    return buffer.getvalue()


def _built(torch: Any, tensor: FlatTensor, key: str) -> _Built:
    """What PyTorch pickles for a tensor of one element, with the shape and the storage of this one."""
    sample = torch.empty(1, dtype=getattr(torch, tensor.dtype.name), device="cpu")
    rebuild, (storage, offset, _, _, *rest) = sample.__reduce_ex__(2)
    if isinstance(storage, torch.storage.TypedStorage):
        kind, count = getattr(torch, storage._pickle_storage_type()), tensor.nbytes // tensor.dtype.itemsize
    else:
        kind, count = type(storage), tensor.nbytes
    stored = _Stored(("storage", kind, key, "cpu", count))
    return _Built((rebuild, (stored, offset, tensor.shape, row_major(tensor.shape, 1), *rest)))
