"""An ONNX model in one file: the tensors are its initializers.

It is the file that ONNX's own library makes of the same model, but written field by field, so that one tensor is in
memory at a time. A protobuf message ends at 2 GB: what is larger becomes a folder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from deltackpt.convert.flat import FlatState, FlatTensor
from deltackpt.convert.library import library
from deltackpt.convert.onnx_folder import write_folder
from deltackpt.convert.onnx_messages import model_of, tensor_of
from deltackpt.formats.onnx.limits import MAX_MODEL_BYTES
from deltackpt.fs.disk import Disk
from deltackpt.fs.target import TargetFile

# Numbers of fields in onnx.proto, of which each has a length.
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_DELIMITED = 2


def write(disk: Disk, state: FlatState, path: str, *, force: bool) -> int:
    """Write the file, or a folder when it would be too large; returns the bytes written.

    InvalidInputError for types and names that ONNX does not have.
    """
    onnx = library("onnx", "ONNX")
    model = model_of(onnx, state)
    heads = [_head(tensor_of(onnx, tensor), tensor) for tensor in state.tensors]
    before, after = _around(onnx, model, sum(map(len, heads)) + state.nbytes)
    size = len(before) + sum(map(len, heads)) + state.nbytes + len(after)
    if size > MAX_MODEL_BYTES:
        return write_folder(disk, state, path, sys.maxsize, force=force)
    with TargetFile(disk, path, size, force=force) as target:
        target.write_at(0, before)
        _fill(target, len(before), heads, state.tensors)
        target.write_at(size - len(after), after)
        state.check_unchanged()
    return size


def _fill(target: TargetFile, offset: int, heads: Sequence[bytes], tensors: Sequence[FlatTensor]) -> None:
    for head, tensor in zip(heads, tensors, strict=True):
        target.write_at(offset, head)
        target.write_at(offset + len(head), tensor.read())
        offset += len(head) + tensor.nbytes


def _head(proto: Any, tensor: FlatTensor) -> bytes:
    """The initializer up to its data, which is the last of its fields."""
    described: bytes = proto.SerializeToString() + _field(_RAW_DATA, tensor.nbytes)
    return _field(_INITIALIZER, len(described) + tensor.nbytes) + described


def _around(onnx: Any, model: Any, length: int) -> tuple[bytes, bytes]:
    """What stands before and after initializers of ``length`` bytes: fields are in the order of their numbers."""
    begin = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    graph = model.graph.SerializeToString()
    end = onnx.ModelProto(opset_import=model.opset_import, metadata_props=model.metadata_props)
    before = begin.SerializeToString() + _field(_GRAPH, len(graph) + length) + graph
    return before, end.SerializeToString()


def _field(number: int, length: int) -> bytes:
    """The beginning of a field of ``length`` bytes."""
    return _varint(number << 3 | _DELIMITED) + _varint(length)


def _varint(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
