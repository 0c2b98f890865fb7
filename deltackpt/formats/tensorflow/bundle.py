"""What an index says of its tensors: a header under the empty key, then one ``BundleEntryProto`` for each tensor.

Field numbers are those of tensor_bundle.proto, tensor_shape.proto and versions.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from deltackpt.errors import FormatError, LimitError, UnsafeError, UnsupportedError
from deltackpt.formats.names import SAFE_NAME, DistinctNames, is_unsafe
from deltackpt.formats.protobuf import DELIMITED, VARINT, Field, Wire, signed
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan
from deltackpt.formats.tensorflow.codes import TYPES
from deltackpt.formats.tensorflow.limits import MAX_FIELDS, MAX_NAME_BYTES, MAX_RANK, MAX_SHARDS, MAX_TENSOR_BYTES
from deltackpt.formats.tensorflow.table import Entry, read_table
from deltackpt.formats.wording import complaint, quoted
from deltackpt.tensor.dtype import DType

VARIABLE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
"""What an object-based checkpoint adds to the name of each variable."""

_NUM_SHARDS, _ENDIANNESS = 1, 2
_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE, _SLICES = 1, 2, 3, 4, 5, 7
_DIM, _UNKNOWN_RANK = 2, 3
_NUMBERS = frozenset({_DTYPE, _SHARD, _OFFSET, _SIZE})

# The key of a slice of a larger variable: a zero byte, the variable's name, this mark, then where the slice lies.
_SLICE = b"\0"
_SLICE_NAME_END = b"\0\1"


@dataclass(frozen=True, slots=True)
class ShardTensor:
    """A tensor in shard ``shard`` of ``shards``."""

    shard: int
    shards: int
    span: TensorSpan


def read_bundle(file: SourceFile) -> Iterator[ShardTensor]:
    """The tensors with plain bytes; texts and other objects are left out. Raises FormatError or one of its kinds."""
    wire, names, shards = Wire(file, MAX_FIELDS), DistinctNames(), None
    for entry in read_table(file):
        if shards is None:
            if entry.key:
                wire.refuse("the first key", "the empty key of the header", _quoted_key(entry.key), entry.start)
            shards = _header(wire, entry)
        elif tensor := _tensor(wire, entry, names, shards):
            yield tensor
    if shards is None:
        raise FormatError(complaint(file.name, "the entries", 0, "a header", "none"))


def _header(wire: Wire, entry: Entry) -> int:
    """How many shards there are."""
    shards, big_endian = 0, 0
    for field in wire.fields(entry.start, entry.stop, "the header", (_NUM_SHARDS, _ENDIANNESS)):
        if field.number == _NUM_SHARDS:
            shards = field.value
        else:
            big_endian = field.value
    if not 0 < shards <= MAX_SHARDS:
        wire.refuse("the number of shards", f"1 to {MAX_SHARDS}", str(shards), entry.start)
    if big_endian:
        wire.refuse("the byte order", "little-endian", "big-endian", entry.start, UnsupportedError)
    return shards


def _tensor(wire: Wire, entry: Entry, names: DistinctNames, shards: int) -> ShardTensor | None:
    numbers = dict.fromkeys(_NUMBERS, 0)
    shape: tuple[int, ...] | None = ()
    sliced = False
    for field in wire.fields(entry.start, entry.stop, "an entry", {*_NUMBERS, _SHAPE, _SLICES}):
        if field.number in _NUMBERS:
            numbers[field.number] = field.value
        elif field.number == _SHAPE:
            shape = _shape(wire, field)
        else:
            sliced = True
    dtype = TYPES.get(numbers[_DTYPE])
    if sliced or dtype is None or shape is None:
        return None
    name = names.add(_name(wire, entry))
    if numbers[_SHARD] >= shards:
        wire.refuse(f"the shard of tensor {quoted(name)}", f"0 to {shards - 1}", str(numbers[_SHARD]), entry.start)
    _check_size(wire, entry, name, dtype, shape, numbers[_SIZE])
    return ShardTensor(numbers[_SHARD], shards, TensorSpan(name, dtype, shape, numbers[_OFFSET], numbers[_SIZE]))


def _check_size(wire: Wire, entry: Entry, name: str, dtype: DType, shape: tuple[int, ...], size: int) -> None:
    what = f"the shape of tensor {quoted(name)}"
    if any(extent < 0 for extent in shape):
        wire.refuse(what, "no dimension below 0", str(list(shape)), entry.start)
    if prod(filter(None, shape)) * dtype.itemsize > MAX_TENSOR_BYTES:
        wire.refuse(what, f"at most {MAX_TENSOR_BYTES} bytes", str(list(shape)), entry.start, LimitError)
    if prod(shape) * dtype.itemsize != size:
        expected = f"{prod(shape) * dtype.itemsize} bytes for {dtype} {list(shape)}"
        wire.refuse(f"the size of tensor {quoted(name)}", expected, str(size), entry.start)


def _shape(wire: Wire, shape: Field) -> tuple[int, ...] | None:
    """The dimensions; None when their number is not known, which no tensor with bytes has."""
    what = "a shape"
    extents: list[int] = []
    _check_message(wire, shape, what)
    for dim in wire.fields(shape.start, shape.stop, what, (_DIM, _UNKNOWN_RANK)):
        if dim.number == _UNKNOWN_RANK:
            return None
        _check_message(wire, dim, "a dimension")
        if len(extents) == MAX_RANK:
            wire.refuse(what, f"at most {MAX_RANK} dimensions", "one more", dim.byte, LimitError)
        sizes = [field.value for field in wire.fields(dim.start, dim.stop, "a dimension", (1,)) if field.wire == VARINT]
        extents.append(signed(sizes[-1]) if sizes else 0)
    return tuple(extents)


def _check_message(wire: Wire, field: Field, what: str) -> None:
    if field.wire != DELIMITED:
        wire.refuse(what, "a message", f"wire type {field.wire}", field.byte)


def _name(wire: Wire, entry: Entry) -> str:
    """The tensor's name: that of its variable. Slices of one variable are told apart by number."""
    key = entry.key
    if key.startswith(_SLICE):
        key = key[len(_SLICE) :].split(_SLICE_NAME_END)[0]
    if len(key) > MAX_NAME_BYTES:
        wire.refuse("a name", f"at most {MAX_NAME_BYTES} bytes", str(len(key)), entry.start, LimitError)
    try:
        name = key.decode().removesuffix(VARIABLE_SUFFIX)
    except UnicodeDecodeError:
        wire.refuse("a name", "UTF-8", _quoted_key(key), entry.start)
    if is_unsafe(name):
        wire.refuse("a name", SAFE_NAME, quoted(name), entry.start, UnsafeError)
    return name


def _quoted_key(key: bytes) -> str:
    return quoted(key.decode(errors="backslashreplace"))
