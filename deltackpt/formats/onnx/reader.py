"""An ONNX model as spans: the raw data of its tensors typed, all of the message around it literal."""

from __future__ import annotations

from operator import attrgetter

from deltackpt.formats.holes import filled
from deltackpt.formats.onnx.tensor_proto import plain_data
from deltackpt.formats.onnx.walk import walk
from deltackpt.formats.protobuf import DELIMITED, VARINT, Field, varint
from deltackpt.formats.reading import Reading, Unread
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import Span, TensorSpan

_IR_VERSION, _DOC_STRING, _GRAPH = 1, 6, 7
_BEFORE_GRAPH = {
    _IR_VERSION: VARINT,
    2: DELIMITED,
    3: DELIMITED,
    4: DELIMITED,
    5: VARINT,
    _DOC_STRING: DELIMITED,
}
_LARGEST_IR_VERSION = 99
_HERE = "a tensor of texts, or of numbers that do not lie there as bytes"
_ELSEWHERE = "a tensor whose data is in another file that is not there, or stands there for another tensor, too"


def recognises(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is meant as an ONNX model, which has no magic.

    It begins with a small ``ir_version``; a few short texts about its producer may follow; then comes the graph, or
    a long text about it. A SavedModel or a CoreML model begins alike and has a long message in second place.
    """
    at, previous = 0, 0
    while at < len(head):
        field = _first_field(head, at)
        if field is None or field.number <= previous:
            return False
        if not previous and not (field.number == _IR_VERSION and 0 < field.value <= _LARGEST_IR_VERSION):
            return False
        if field.number == _GRAPH:
            return field.wire == DELIMITED
        if _BEFORE_GRAPH.get(field.number) != field.wire:
            return False
        at, previous = field.stop, field.number
    return previous == _DOC_STRING


def _first_field(head: bytes, at: int) -> Field | None:
    """The field at ``at``; None when its tag or its number is cut off."""
    tag = varint(head, at)
    value = varint(head, tag[1]) if tag is not None else None
    if tag is None or value is None:
        return None
    number, wire = tag[0] >> 3, tag[0] & 7
    return Field(number, wire, at, tag[1], value[1] + (value[0] if wire == DELIMITED else 0), value[0])


def read_spans(file: SourceFile) -> tuple[Span, ...]:
    """The spans of :func:`read`."""
    return read(file).spans


def read(file: SourceFile) -> Reading:
    """The whole file, each byte in exactly one span. Reads the structure only, never the data.

    Typed are ``raw_data``, and ``float_data`` and ``double_data`` in one packed piece; other tensors of this file are
    unread, also those whose data is in other files. Raises FormatError, LimitError, UnsafeError or UnsupportedError.
    """
    tensors: list[TensorSpan] = []
    unread: list[Unread] = []
    for wire, tensor in walk(file):
        if found := plain_data(wire, tensor.proto):
            (dtype, shape), data = found
            tensors.append(TensorSpan(tensor.name, dtype, shape, data.start, data.length))
        else:
            unread.append(Unread(tensor.name, _HERE if tensor.proto.external is None else _ELSEWHERE))
    spans = filled(sorted(tensors, key=attrgetter("offset", "length")), file.size, file.name)
    return Reading("onnx", spans, unread=tuple(unread))
