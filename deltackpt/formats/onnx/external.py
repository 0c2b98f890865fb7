"""Tensors of a model whose data is in other files: which file, and where in it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from deltackpt.errors import UnsafeError
from deltackpt.formats.names import SAFE_NAME, is_unsafe
from deltackpt.formats.onnx.tensor_proto import TensorProto, declared
from deltackpt.formats.onnx.walk import ModelTensor, walk
from deltackpt.formats.protobuf import Wire
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan
from deltackpt.formats.wording import quoted

_WHOLE = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """A tensor in the file ``location``, a relative path of plain steps, seen from the folder of the model.

    ``span`` is None for one whose type is not in the table.
    """

    location: str
    span: TensorSpan | None


def external_tensors(file: SourceFile) -> Iterator[ExternalTensor]:
    """Those of the model ``file``, in its order. The other files are not looked at.

    Raises what the reader of models raises, and UnsafeError for a
    location outside of the model's folder. Keys that are not known are ignored.
    """
    for wire, tensor in walk(file):
        if tensor.proto.external is not None:
            span = _span(wire, tensor)
            yield ExternalTensor(_location(wire, tensor.proto), span)


def _span(wire: Wire, tensor: ModelTensor) -> TensorSpan | None:
    found = declared(wire, tensor.proto)
    if found is None:
        return None
    (dtype, shape), length = found
    _check_length(wire, tensor.proto, length)
    return TensorSpan(tensor.name, dtype, shape, _number(wire, tensor.proto, "offset") or 0, length)


def _location(wire: Wire, tensor: TensorProto) -> str:
    assert tensor.external is not None
    location = tensor.external.get("location", "")
    if not location:
        wire.refuse(f"the location of {tensor.title}", "the path of a file", "none", tensor.byte)
    if is_unsafe(location) or "\\" in location:
        wire.refuse(
            f"the location of {tensor.title}",
            f"{SAFE_NAME}, nor a backslash",
            quoted(location),
            tensor.byte,
            UnsafeError,
        )
    return posixpath.normpath(location)


def _check_length(wire: Wire, tensor: TensorProto, length: int) -> None:
    found = _number(wire, tensor, "length")
    if found is not None and found != length:
        wire.refuse(f"the length of {tensor.title}", f"{length} bytes for its dims", str(found), tensor.byte)


def _number(wire: Wire, tensor: TensorProto, key: str) -> int | None:
    assert tensor.external is not None
    text = tensor.external.get(key)
    if text is None:
        return None
    if not _WHOLE.fullmatch(text):
        wire.refuse(f"the {key} of {tensor.title}", "a whole number below 10^19", quoted(text), tensor.byte)
    return int(text)
