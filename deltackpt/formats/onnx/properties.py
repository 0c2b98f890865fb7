"""What a model says beside its tensors: its properties, which are texts by key, and that it has a graph.

Numbers of fields are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deltackpt.errors import LimitError
from deltackpt.formats.onnx.limits import MAX_FIELDS, MAX_PROPERTIES, MAX_PROPERTY_BYTES
from deltackpt.formats.protobuf import DELIMITED, Field, Wire
from deltackpt.formats.source_file import SourceFile

_GRAPH, _PROPERTY, _NODE = 7, 14, 1
_KEY, _VALUE = 1, 2


@dataclass(frozen=True, slots=True)
class ModelTold:
    """``nodes`` counts those of the graph itself, not those of graphs within it."""

    properties: Mapping[str, str]
    nodes: int


def read_told(file: SourceFile) -> ModelTold:
    """The model's properties and nodes. FormatError and its kinds. Tensors are stepped over."""
    wire = Wire(file, MAX_FIELDS)
    properties: dict[str, str] = {}
    nodes = 0
    for one in wire.fields(0, file.size, "the model", (_GRAPH, _PROPERTY)):
        if one.wire != DELIMITED:
            wire.refuse("the model", "a message", f"wire type {one.wire}", one.byte)
        if one.number == _GRAPH:
            nodes += sum(1 for _ in wire.fields(one.start, one.stop, "the graph", (_NODE,)))
        elif len(properties) == MAX_PROPERTIES:
            wire.refuse("the model", f"at most {MAX_PROPERTIES} properties", "one more", one.byte, LimitError)
        else:
            key, value = _property(wire, one)
            properties[key] = value
    return ModelTold(properties, nodes)


def _property(wire: Wire, entry: Field) -> tuple[str, str]:
    texts = {_KEY: "", _VALUE: ""}
    for one in wire.fields(entry.start, entry.stop, "a property", texts):
        texts[one.number] = wire.text(one, MAX_PROPERTY_BYTES, "a property")
    return texts[_KEY], texts[_VALUE]
