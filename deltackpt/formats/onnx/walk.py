"""All tensors of a model, wherever they are: initializers, attributes of nodes, and the same of graphs within.

Numbers are the fields of the messages in onnx.proto that lead to a tensor; everything else is stepped over.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from deltackpt.errors import LimitError, UnsafeError
from deltackpt.formats.names import SAFE_NAME, DistinctNames, is_unsafe
from deltackpt.formats.onnx.limits import MAX_DEPTH, MAX_FIELDS, MAX_MODEL_BYTES, MAX_NAME_BYTES, MAX_TENSORS
from deltackpt.formats.onnx.tensor_proto import TensorProto, read_tensor
from deltackpt.formats.protobuf import DELIMITED, Field, Wire
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import quoted


class _Kind(enum.Enum):
    """A type of message; the value is what complaints call it."""

    MODEL = "the model"
    TRAINING = "a training info"
    FUNCTION = "a function"
    GRAPH = "a graph"
    NODE = "a node"
    ATTRIBUTE = "an attribute"
    SPARSE = "a sparse tensor"
    TENSOR = "a tensor"


_WITHIN: Mapping[_Kind, Mapping[int, _Kind]] = {
    _Kind.MODEL: {7: _Kind.GRAPH, 20: _Kind.TRAINING, 25: _Kind.FUNCTION},
    _Kind.TRAINING: {1: _Kind.GRAPH, 2: _Kind.GRAPH},
    _Kind.FUNCTION: {7: _Kind.NODE, 11: _Kind.ATTRIBUTE},
    _Kind.GRAPH: {1: _Kind.NODE, 5: _Kind.TENSOR, 15: _Kind.SPARSE},
    _Kind.NODE: {5: _Kind.ATTRIBUTE},
    _Kind.ATTRIBUTE: {
        5: _Kind.TENSOR,
        6: _Kind.GRAPH,
        10: _Kind.TENSOR,
        11: _Kind.GRAPH,
        22: _Kind.SPARSE,
        23: _Kind.SPARSE,
    },
    _Kind.SPARSE: {1: _Kind.TENSOR, 2: _Kind.TENSOR},
}
_SPARSE_INDICES = 2
# What a message's tensors are called after: a function's name, a node's first output, an attribute's name.
_NAMED_BY = {_Kind.FUNCTION: 1, _Kind.NODE: 2, _Kind.ATTRIBUTE: 1}
_WANTED = {kind: frozenset({*within, *filter(None, [_NAMED_BY.get(kind)])}) for kind, within in _WITHIN.items()}


@dataclass(frozen=True, slots=True)
class ModelTensor:
    """A tensor of a model under a name that no other one has."""

    name: str
    proto: TensorProto


@dataclass(slots=True)
class _Walk:
    wire: Wire
    names: DistinctNames = field(default_factory=DistinctNames)


def walk(file: SourceFile) -> Iterator[tuple[Wire, ModelTensor]]:
    """Every tensor in the order of the file, with the wire to complain on.

    An initializer has its own name; the others that of the node's first output and the attribute before theirs.
    Leading slashes, which exporters write, are dropped: a name is a key and never a path.
    """
    wire = Wire(file, MAX_FIELDS)
    if file.size > MAX_MODEL_BYTES:
        wire.refuse("the size of the model", f"at most {MAX_MODEL_BYTES} bytes", str(file.size), 0, LimitError)
    for tensor in _within(_Walk(wire), _Kind.MODEL, 0, file.size, "", 0):
        yield wire, tensor


def _within(walk: _Walk, kind: _Kind, start: int, stop: int, path: str, depth: int) -> Iterator[ModelTensor]:
    """The tensors of one message. Messages within it recurse, down to the stated depth."""
    if depth > MAX_DEPTH:
        expected = f"messages at most {MAX_DEPTH} deep"
        walk.wire.refuse(kind.value, expected, "one more within", start, LimitError)
    called, count = "", 0
    for one in walk.wire.fields(start, stop, kind.value, _WANTED[kind]):
        inner = _WITHIN[kind].get(one.number)
        if inner is None:
            called = called or walk.wire.text(one, MAX_NAME_BYTES, f"the name of {kind.value}")
            continue
        if one.wire != DELIMITED:
            walk.wire.refuse(kind.value, f"{inner.value} in field {one.number}", f"wire type {one.wire}", one.byte)
        if inner is _Kind.TENSOR:
            yield _tensor(walk, kind, one, _joined(path, called), count)
            count += 1
        else:
            yield from _within(walk, inner, one.start, one.stop, _joined(path, called), depth + 1)


def _tensor(walk: _Walk, kind: _Kind, one: Field, path: str, count: int) -> ModelTensor:
    """A tensor of a message of ``kind``, of which ``count`` stand before it."""
    if len(walk.names) == MAX_TENSORS:
        walk.wire.refuse(kind.value, f"at most {MAX_TENSORS} tensors in the file", "one more", one.byte, LimitError)
    proto = read_tensor(walk.wire, one.start, one.stop)
    own = str(count or "") if kind is _Kind.ATTRIBUTE else proto.name
    if kind is _Kind.SPARSE and one.number == _SPARSE_INDICES:
        own = _joined(own, "indices")
    name = _joined(path, own)
    if (nbytes := len(name.encode())) > MAX_NAME_BYTES:
        walk.wire.refuse("a tensor's name", f"at most {MAX_NAME_BYTES} bytes", str(nbytes), one.byte, LimitError)
    if is_unsafe(name):
        walk.wire.refuse("a tensor's name", SAFE_NAME, quoted(name), one.byte, UnsafeError)
    return ModelTensor(walk.names.add(name), proto)


def _joined(path: str, name: str) -> str:
    own = name.lstrip("/\\")
    return f"{path}/{own}" if path and own else path or own
