"""One tensor of a model, as its message has it: where its data stands is found, the data is not read.

Field numbers are those of ``TensorProto`` in onnx.proto; they never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from deltackpt.errors import LimitError
from deltackpt.formats.onnx.codes import COMPLEX64, COMPLEX128, DOUBLE, FLOAT, Form, form_of
from deltackpt.formats.onnx.limits import (
    MAX_EXTERNAL_KEYS,
    MAX_LOCATION_BYTES,
    MAX_NAME_BYTES,
    MAX_RANK,
    MAX_TENSOR_BYTES,
)
from deltackpt.formats.protobuf import DELIMITED, Field, Wire, signed
from deltackpt.formats.wording import quoted
from deltackpt.tensor.dtype import DTYPES

_DIMS, _DATA_TYPE, _SEGMENT, _NAME, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 3, 8, 13, 14
_RAW_DATA, _FLOAT_DATA, _DOUBLE_DATA = 9, 4, 10
_EXTERNAL = 1
_DATA = {
    _FLOAT_DATA: "float_data",
    5: "int32_data",
    6: "string_data",
    7: "int64_data",
    _RAW_DATA: "raw_data",
    _DOUBLE_DATA: "double_data",
    11: "uint64_data",
}
_WANTED = frozenset({_DIMS, _DATA_TYPE, _SEGMENT, _NAME, _EXTERNAL_DATA, _DATA_LOCATION, *_DATA})
_KEY, _VALUE = 1, 2
# Packed, these fields are the elements' plain bytes; those of whole numbers are varints.
_PLAIN_FIELDS = {_FLOAT_DATA: (FLOAT, COMPLEX64), _DOUBLE_DATA: (DOUBLE, COMPLEX128)}


@dataclass(slots=True)
class TensorProto:
    """What a message that begins at ``byte`` says. ``data`` holds the fields with data by number, as often as they are.

    ``external`` is None for a tensor whose data is not in another file.
    """

    byte: int
    name: str = ""
    dims: tuple[int, ...] = ()
    data_type: int = 0
    segmented: bool = False
    data: dict[int, list[Field]] = field(default_factory=dict)
    external: Mapping[str, str] | None = None

    @property
    def title(self) -> str:
        return f"tensor {quoted(self.name)}"


def read_tensor(wire: Wire, start: int, stop: int) -> TensorProto:
    """The message at bytes ``start`` to ``stop``; FormatError when it contradicts itself."""
    tensor, location = TensorProto(start), 0
    dims: list[int] = []
    entries: dict[str, str] = {}
    for one in wire.fields(start, stop, "a tensor", _WANTED):
        if one.number in _DATA:
            tensor.data.setdefault(one.number, []).append(one)
        elif one.number == _DIMS:
            dims += wire.numbers(one, MAX_RANK, "a tensor's dims")
        elif one.number == _DATA_TYPE:
            tensor.data_type = one.value
        elif one.number == _NAME:
            tensor.name = wire.text(one, MAX_NAME_BYTES, "a tensor's name")
        elif one.number == _EXTERNAL_DATA:
            _add_entry(wire, one, entries)
        elif one.number == _DATA_LOCATION:
            location = one.value
        elif one.number == _SEGMENT:
            tensor.segmented = True
    if location == _EXTERNAL:
        tensor.external = entries
    tensor.dims = tuple(map(signed, dims))
    _check(wire, tensor)
    return tensor


def _add_entry(wire: Wire, entry: Field, entries: dict[str, str]) -> None:
    """A key and a value of ``external_data``."""
    what = "an entry of external_data"
    texts = {_KEY: "", _VALUE: ""}
    if entry.wire != DELIMITED:
        wire.refuse(what, "a message", f"wire type {entry.wire}", entry.byte)
    for one in wire.fields(entry.start, entry.stop, what, texts):
        texts[one.number] = wire.text(one, MAX_LOCATION_BYTES, what)
    if texts[_KEY] in entries:
        wire.refuse("external_data", "each key once", f"{quoted(texts[_KEY])} again", entry.byte)
    if len(entries) == MAX_EXTERNAL_KEYS:
        wire.refuse("external_data", f"at most {MAX_EXTERNAL_KEYS} keys", "one more", entry.byte, LimitError)
    entries[texts[_KEY]] = texts[_VALUE]


def _check(wire: Wire, tensor: TensorProto) -> None:
    if len(tensor.dims) > MAX_RANK:
        found = str(len(tensor.dims))
        wire.refuse(f"the dims of {tensor.title}", f"at most {MAX_RANK}", found, tensor.byte, LimitError)
    if any(extent < 0 for extent in tensor.dims):
        found = str(list(tensor.dims))
        wire.refuse(f"the dims of {tensor.title}", "none below 0", found, tensor.byte)
    kinds = [_DATA[number] for number in tensor.data] + (["external_data"] if tensor.external is not None else [])
    if len(kinds) > 1:
        wire.refuse(f"the data of {tensor.title}", "one field", " and ".join(sorted(kinds)), tensor.byte)
    if len(tensor.data.get(_RAW_DATA, ())) > 1:
        wire.refuse(f"the data of {tensor.title}", "raw_data once", "it again", tensor.data[_RAW_DATA][1].byte)


def declared(wire: Wire, tensor: TensorProto) -> tuple[Form, int] | None:
    """Element type and shape by the dims, and the bytes that it takes; None for a type that is not in the table."""
    form = form_of(tensor.data_type, tensor.dims)
    if form is None:
        return None
    dtype, shape = form
    if prod(filter(None, shape)) * dtype.itemsize > MAX_TENSOR_BYTES:
        expected, found = f"at most {MAX_TENSOR_BYTES} bytes", str(list(tensor.dims))
        wire.refuse(f"the dims of {tensor.title}", expected, found, tensor.byte, LimitError)
    return form, prod(shape) * dtype.itemsize


def plain_data(wire: Wire, tensor: TensorProto) -> tuple[Form, Field] | None:
    """The field of this file that holds the tensor's plain bytes, and what they are.

    None when there is none: no data, data in another file or of varints, in several pieces, of texts.
    """
    for number, fields in tensor.data.items():
        packed = len(fields) == 1 and fields[0].wire == DELIMITED
        if packed and not tensor.segmented and _is_plain(number, tensor.data_type):
            return _checked(wire, tensor, fields[0]), fields[0]
    return None


def _is_plain(number: int, data_type: int) -> bool:
    return number == _RAW_DATA or data_type in _PLAIN_FIELDS.get(number, ())


def _checked(wire: Wire, tensor: TensorProto, data: Field) -> Form:
    found = declared(wire, tensor)
    if found is None:
        return DTYPES["uint8"], (data.length,)
    form, length = found
    if length != data.length:
        expected = f"{length} bytes for {form[0]} {list(form[1])}"
        wire.refuse(f"the data of {tensor.title}", expected, str(data.length), data.byte)
    return form
