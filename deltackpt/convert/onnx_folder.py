"""An ONNX model as a folder: ``model.onnx``, and files with the data of its initializers beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deltackpt.checkout.fetch import Writable
from deltackpt.convert.flat import FlatState, FlatTensor
from deltackpt.convert.library import library
from deltackpt.convert.onnx_messages import model_of, tensor_of
from deltackpt.convert.shards import shard_names, shards
from deltackpt.fs.disk import Disk
from deltackpt.fs.target_folder import TargetFolder

_NAME = "model"
_FILE_MODE = 0o644
_FOLDER_MODE = 0o755

_PAGE = 4096
"""Data begins at its multiples, as the format advises: it may be mapped into memory."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A tensor whose data stands at ``offset`` of ``file``."""

    tensor: FlatTensor
    file: str
    offset: int

    @property
    def end(self) -> int:
        return self.offset + self.tensor.nbytes


def write_folder(disk: Disk, state: FlatState, path: str, shard_bytes: int, *, force: bool) -> int:
    """Write the folder, with at most ``shard_bytes`` of tensors in each file of data; returns the bytes of all files.

    A larger tensor has a file of its own. InvalidInputError for types and names that ONNX does not have.
    """
    onnx = library("onnx", "ONNX")
    model = model_of(onnx, state)
    files = _placed(state, shard_bytes)
    model.graph.initializer.extend(_initializers(onnx, state, files))
    message = model.SerializeToString()
    size = len(message) + sum(placed[-1].end for placed in files)
    with TargetFolder(disk, path, size, force=force) as target:
        now = time.time_ns()
        target.folder("", _FOLDER_MODE, now)
        target.file(f"{_NAME}.onnx", len(message), _FILE_MODE, now).write_at(0, message)
        for placed in files:
            _fill(target.file(placed[0].file, placed[-1].end, _FILE_MODE, now), placed)
        state.check_unchanged()
    return size


def _placed(state: FlatState, shard_bytes: int) -> list[list[_Placed]]:
    """Tensors by the file that holds them. Those without bytes are in none."""
    cut = [shard for shard in shards((one for one in state.tensors if one.nbytes), shard_bytes) if shard]
    names = shard_names(_NAME, len(cut), ".onnx.data")
    return [list(_in_file(name, shard)) for name, shard in zip(names, cut, strict=True)]


def _in_file(name: str, tensors: Sequence[FlatTensor]) -> Iterator[_Placed]:
    offset = 0
    for tensor in tensors:
        yield _Placed(tensor, name, offset)
        offset += -(-tensor.nbytes // _PAGE) * _PAGE


def _initializers(onnx: Any, state: FlatState, files: Sequence[Sequence[_Placed]]) -> Iterator[Any]:
    places = {one.tensor.name: one for placed in files for one in placed}
    for tensor in state.tensors:
        proto = tensor_of(onnx, tensor)
        if (place := places.get(tensor.name)) is None:
            proto.raw_data = b""
        else:
            proto.data_location = onnx.TensorProto.EXTERNAL
            told = {"location": place.file, "offset": place.offset, "length": tensor.nbytes}
            proto.external_data.extend(onnx.StringStringEntryProto(key=key, value=str(told[key])) for key in told)
        yield proto


def _fill(file: Writable, placed: Sequence[_Placed]) -> None:
    end = 0
    for one in placed:
        file.write_at(end, bytes(one.offset - end))
        file.write_at(one.offset, one.tensor.read())
        end = one.end
