"""What a GGUF file says of its tensors, each info checked by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from deltackpt.errors import LimitError, UnsafeError, UnsupportedError
from deltackpt.formats.gguf.codes import TENSOR_TYPES
from deltackpt.formats.gguf.limits import MAX_NAME_BYTES, MAX_RANK, MAX_TENSOR_BYTES
from deltackpt.formats.names import SAFE_NAME, is_unsafe
from deltackpt.formats.window import Cursor
from deltackpt.formats.wording import quoted
from deltackpt.tensor.dtype import DType


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor; ``offset`` counts from the start of the tensors' data. ``shape`` is NumPy's, in elements or blocks."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    offset: int

    @property
    def length(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def read_infos(cursor: Cursor, count: int, alignment: int) -> Iterator[TensorInfo]:
    """The next ``count`` infos, in the file's order."""
    seen: set[str] = set()
    for _ in range(count):
        byte = cursor.at
        name = _name(cursor)
        if name in seen:
            cursor.refuse("the tensor infos", "each name once", f"{quoted(name)} again", byte)
        seen.add(name)
        yield _info(cursor, name, alignment)


def _name(cursor: Cursor) -> str:
    byte = cursor.at
    length = cursor.u64("the length of a tensor's name")
    if length > MAX_NAME_BYTES:
        found = str(length)
        cursor.refuse("the length of a tensor's name", f"at most {MAX_NAME_BYTES}", found, byte, LimitError)
    raw = cursor.take(length, "a tensor's name")
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        at = cursor.at - length + error.start
        cursor.refuse("a tensor's name", "UTF-8", repr(raw[error.start : error.end]), at)
    if is_unsafe(name):
        cursor.refuse("a tensor's name", SAFE_NAME, quoted(name), byte, UnsafeError)
    return name


def _info(cursor: Cursor, name: str, alignment: int) -> TensorInfo:
    """The info of tensor ``name``, from its number of dimensions on. A file lists the fastest dimension first."""
    owner = f"tensor {quoted(name)}"
    byte = cursor.at
    rank = cursor.u32(f"the dimensions of {owner}")
    if rank > MAX_RANK:
        cursor.refuse(f"the dimensions of {owner}", f"at most {MAX_RANK}", str(rank), byte, LimitError)
    extents = tuple(cursor.u64(f"the dimensions of {owner}") for _ in range(rank))
    number = cursor.u32(f"the type of {owner}")
    dtype = TENSOR_TYPES.get(number)
    if dtype is None:
        expected = f"a number of {', '.join(map(str, sorted(TENSOR_TYPES)))}"
        cursor.refuse(f"the type of {owner}", expected, str(number), cursor.at - 4, UnsupportedError)
    shape = _shape(cursor, owner, extents, dtype, byte)
    offset = cursor.u64(f"the offset of {owner}")
    if offset % alignment:
        cursor.refuse(f"the offset of {owner}", f"a multiple of {alignment}", str(offset), cursor.at - 8)
    return TensorInfo(name, dtype, shape, offset)


def _shape(cursor: Cursor, owner: str, extents: tuple[int, ...], dtype: DType, byte: int) -> tuple[int, ...]:
    """Slowest dimension first; the fastest counts blocks where the type has any."""
    values = dtype.block_values or 1
    fastest = extents[0] if extents else 1
    if fastest % values:
        expected = f"a first dimension of whole blocks of {values} for {dtype}"
        cursor.refuse(f"the dimensions of {owner}", expected, str(list(extents)), byte)
    if prod(filter(None, extents)) // values * dtype.itemsize > MAX_TENSOR_BYTES:
        expected = f"at most {MAX_TENSOR_BYTES} bytes"
        cursor.refuse(f"the dimensions of {owner}", expected, str(list(extents)), byte, LimitError)
    return (*reversed(extents[1:]), fastest // values) if extents else ()
