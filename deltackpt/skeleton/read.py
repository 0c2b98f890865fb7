"""From a skeleton's bytes to its tree. Strict: what ``capture`` would not have written is a FormatError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deltackpt.errors import UnsupportedError
from deltackpt.skeleton.array_types import ArrayType, Field, Record
from deltackpt.skeleton.cursor import Cursor
from deltackpt.skeleton.keys import NODES, SCALARS, frozen_fields
from deltackpt.skeleton.large_values import KINDS
from deltackpt.skeleton.nodes import (
    QUANTIZED_PARTS,
    SPARSE_PARTS,
    Fields,
    LargeValue,
    Mapping,
    Member,
    NumpyArray,
    NumpyScalar,
    PartHere,
    Placement,
    QuantizedTensor,
    Reference,
    Sequence,
    Skeleton,
    SparseTensor,
    TorchDevice,
    TorchDtype,
    TorchSize,
    TorchTensor,
    Tree,
)
from deltackpt.skeleton.tags import FACTORIES, MAX_DEPTH, VERSION, Tag
from deltackpt.skeleton.view import View
from deltackpt.tensor.dtype import dtype_named

_MAX_EXTENT = 1 << 62


def read_skeleton(raw: bytes | memoryview, part: str) -> Skeleton:
    """The tree of one part; FormatError for bytes that are not a skeleton, UnsupportedError for a newer one."""
    cursor = Cursor(raw, part)
    version = cursor.natural()
    if version != VERSION:
        raise UnsupportedError(
            f"skeleton of part {part!r} has version {version}, this release reads {VERSION}; upgrade"
        )
    entries = cursor.natural()
    placements = _placements(cursor, entries)
    tree = _Reader(cursor).node(0)
    cursor.finish()
    return Skeleton(part, entries, tree, placements)


def _placements(cursor: Cursor, entries: int) -> dict[int, Placement]:
    placements: dict[int, Placement] = {}
    last = -1
    for _ in range(cursor.count()):
        index = cursor.natural()
        if not last < index < entries:
            cursor.fail(f"placement of entry {index} in a table of {entries}")
        placements[index] = _placement(cursor)
        last = index
    return placements


def _placement(cursor: Cursor) -> Placement:
    strides = _strides(cursor)
    if cursor.peek() is None:
        cursor.atom()
        return Placement(strides)
    return Placement(strides, _reference(cursor), _bounded(cursor, cursor.natural()))


def _strides(cursor: Cursor) -> tuple[int, ...] | None:
    if cursor.peek() is None:
        cursor.atom()
        return None
    return tuple(_bounded(cursor, step) for step in cursor.integers(cursor.count()))


def _bounded(cursor: Cursor, value: int) -> int:
    if abs(value) > _MAX_EXTENT:
        cursor.fail(f"an extent or offset of {value}")
    return value


def _reference(cursor: Cursor) -> Reference:
    part = cursor.text() if type(cursor.peek()) is str else cursor.part
    return Reference(part, _bounded(cursor, cursor.natural()))


def _view(cursor: Cursor) -> View:
    dtype = dtype_named(cursor.text())
    shape = _shape(cursor)
    strides = _strides(cursor)
    if strides is not None and len(strides) != len(shape):
        cursor.fail(f"{len(strides)} strides for {len(shape)} dimensions")
    return View(dtype, shape, strides, _bounded(cursor, cursor.natural()))


def _shape(cursor: Cursor) -> tuple[int, ...]:
    shape = cursor.naturals()
    elements = 1
    for extent in shape:
        elements = _bounded(cursor, elements * max(_bounded(cursor, extent), 1))
    return shape


def _array_type(cursor: Cursor, depth: int) -> ArrayType:
    if type(cursor.peek()) is str:
        return cursor.text()
    if cursor.integer() != Tag.RECORD_TYPE or depth > MAX_DEPTH:
        cursor.fail("an array type that is neither a name nor a record")
    itemsize = cursor.natural()
    return Record(itemsize, tuple(_field(cursor, depth + 1) for _ in range(cursor.count())))


def _field(cursor: Cursor, depth: int) -> Field:
    return Field(cursor.text(), cursor.natural(), _shape(cursor), _array_type(cursor, depth))


class _Reader:
    """Reads nodes by their tags; ``depth`` bounds the recursion."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def node(self, depth: int) -> Tree:
        cursor = self._cursor
        atom = cursor.atom()
        if type(atom) is not int:
            return atom
        read = _READERS.get(atom)
        if read is None:
            cursor.fail(f"unknown node {atom}")
        if depth > MAX_DEPTH + 1:
            cursor.fail(f"nested deeper than {MAX_DEPTH} levels")
        return read(self, Tag(atom), depth + 1)

    def nodes(self, count: int, depth: int) -> list[Tree]:
        return [self.node(depth) for _ in range(count)]

    def hashable(self, depth: int) -> Any:
        """A dictionary key or set element: the value itself, or a node that can be hashed."""
        return self._frozen(self.node(depth))

    def _frozen(self, tree: Tree) -> Any:
        if isinstance(tree, Sequence) and tree.tag in (Tag.TUPLE, Tag.INT_TUPLE):
            return tuple(self._frozen(item) for item in tree.items)
        if isinstance(tree, Fields) and tree.tag is not Tag.TENSOR_SUBCLASS:
            return frozen_fields(tree, map(self._frozen, tree.items))
        if type(tree) not in SCALARS | NODES | {frozenset}:
            self._cursor.fail(f"a {type(tree).__name__} as a key or set element")
        return tree

    def integer(self, tag: Tag, depth: int) -> int:
        return self._cursor.integer()

    def big_integer(self, tag: Tag, depth: int) -> int:
        return int.from_bytes(self._cursor.blob(), "little", signed=True)

    def surrogates(self, tag: Tag, depth: int) -> str:
        try:
            return self._cursor.blob().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            self._cursor.fail(f"a string that is not text ({error})")

    def byte_string(self, tag: Tag, depth: int) -> bytes:
        return self._cursor.blob()

    def byte_array(self, tag: Tag, depth: int) -> bytearray:
        return bytearray(self._cursor.blob())

    def complex_number(self, tag: Tag, depth: int) -> complex:
        return complex(self._cursor.number(), self._cursor.number())

    def integer_range(self, tag: Tag, depth: int) -> range:
        start, stop, step = self.nodes(3, depth)
        if not all(type(bound) is int for bound in (start, stop, step)) or step == 0:
            self._cursor.fail("a range whose bounds are not integers, or whose step is 0")
        return range(start, stop, step)

    def plain_slice(self, tag: Tag, depth: int) -> slice:
        bounds = self.nodes(3, depth)
        if not all(bound is None or type(bound) is int for bound in bounds):
            self._cursor.fail("a slice whose bounds are not integers")
        return slice(*bounds)

    def sequence(self, tag: Tag, depth: int) -> Sequence:
        items: list[Tree] = []
        for _ in range(self._cursor.count()):
            items.append(self.node(depth))
        return Sequence(tag, items)

    def integers(self, tag: Tag, depth: int) -> Sequence:
        return Sequence(tag, list(self._cursor.integers(self._cursor.count())))

    def plain_set(self, tag: Tag, depth: int) -> set[Any] | frozenset[Any]:
        count = self._cursor.count()
        elements = []
        for _ in range(count):
            elements.append(self.hashable(depth))
        made = set(elements) if tag is Tag.SET else frozenset(elements)
        if len(made) != count:
            self._cursor.fail("a set with one element twice")
        return made

    def mapping(self, tag: Tag, depth: int) -> Mapping:
        factory = self._cursor.text() if tag is Tag.DEFAULT_DICT else "None"
        if factory not in FACTORIES:
            self._cursor.fail(f"unknown default factory {factory!r:.40}")
        metadata = self.node(depth) if tag is Tag.STATE_DICT else None
        keys: list[Any] = []
        items: list[Tree] = []
        for _ in range(self._cursor.count()):
            keys.append(self.hashable(depth))
            items.append(self.node(depth))
        if len(set(keys)) != len(keys):
            self._cursor.fail("a dict with one key twice")
        return Mapping(tag, keys, items, factory, metadata)

    def part(self, tag: Tag, depth: int) -> PartHere:
        # Only the root refers to parts, and only below its own dict; so parts cannot contain each other.
        if self._cursor.part or depth != 2:
            self._cursor.fail("a part within a part")
        return PartHere(self._cursor.text())

    def fields(self, tag: Tag, depth: int) -> Fields:
        name = self._cursor.text()
        names: list[str] = []
        items: list[Tree] = []
        for _ in range(self._cursor.count()):
            names.append(self._cursor.text())
            items.append(self.node(depth))
        return Fields(tag, name, names, items)

    def member(self, tag: Tag, depth: int) -> Member:
        name = self._cursor.text()
        member = self.node(depth)
        if type(member) is not (int if tag is Tag.FLAG else str):
            self._cursor.fail("an enum member that is neither a name nor a flag's value")
        return Member(tag, name, member)

    def tensor(self, tag: Tag, depth: int) -> TorchTensor:
        flags = self._cursor.natural()
        reference = _reference(self._cursor)
        return TorchTensor(reference, _view(self._cursor) if tag is Tag.TENSOR_VIEW else None, flags)

    def sparse(self, tag: Tag, depth: int) -> SparseTensor:
        flags = self._cursor.natural()
        layout = self._cursor.text()
        if layout not in SPARSE_PARTS:
            self._cursor.fail(f"unknown sparse layout {layout!r:.40}")
        shape = _shape(self._cursor)
        parts = self._parts(len(SPARSE_PARTS[layout]), depth)
        return SparseTensor(layout, shape, flags, parts, tag is Tag.SPARSE_PARAMETER)

    def quantized(self, tag: Tag, depth: int) -> QuantizedTensor:
        flags = self._cursor.natural()
        dtype = self._cursor.text()
        scheme = self._cursor.text()
        if scheme not in QUANTIZED_PARTS:
            self._cursor.fail(f"unknown quantisation scheme {scheme!r:.40}")
        axis = self._cursor.natural() if scheme.startswith("per_channel") else None
        shape = _shape(self._cursor)
        return QuantizedTensor(dtype, scheme, axis, shape, flags, self._parts(len(QUANTIZED_PARTS[scheme]), depth))

    def _parts(self, count: int, depth: int) -> tuple[TorchTensor, ...]:
        """The dense parts of a tensor that consists of some."""
        parts = self.nodes(count, depth)
        if not all(isinstance(part, TorchTensor) for part in parts):
            self._cursor.fail("a tensor whose parts are not tensors")
        return tuple(parts)

    def large_value(self, tag: Tag, depth: int) -> LargeValue:
        flags = self._cursor.natural()
        kind = self._cursor.natural()
        if kind not in KINDS:
            self._cursor.fail(f"a large value of kind {kind}")
        return LargeValue(_reference(self._cursor), Tag(kind), flags)

    def torch_size(self, tag: Tag, depth: int) -> TorchSize:
        return TorchSize(_shape(self._cursor))

    def torch_dtype(self, tag: Tag, depth: int) -> TorchDtype:
        return TorchDtype(self._cursor.text())

    def torch_device(self, tag: Tag, depth: int) -> TorchDevice:
        return TorchDevice(self._cursor.text())

    def array(self, tag: Tag, depth: int) -> NumpyArray:
        flags = self._cursor.natural()
        kind = _array_type(self._cursor, 0)
        reference = _reference(self._cursor)
        return NumpyArray(reference, _view(self._cursor) if tag is Tag.ARRAY_VIEW else None, kind, flags)

    def scalar(self, tag: Tag, depth: int) -> NumpyScalar:
        return NumpyScalar(_array_type(self._cursor, 0), self._cursor.blob())


_READERS: dict[int, Callable[[_Reader, Tag, int], Tree]] = {
    Tag.INT: _Reader.integer,
    Tag.BIG_INT: _Reader.big_integer,
    Tag.SURROGATE_STR: _Reader.surrogates,
    Tag.BYTES: _Reader.byte_string,
    Tag.BYTEARRAY: _Reader.byte_array,
    Tag.COMPLEX: _Reader.complex_number,
    Tag.RANGE: _Reader.integer_range,
    Tag.SLICE: _Reader.plain_slice,
    Tag.LARGE_VALUE: _Reader.large_value,
    Tag.LIST: _Reader.sequence,
    Tag.TUPLE: _Reader.sequence,
    Tag.INT_LIST: _Reader.integers,
    Tag.INT_TUPLE: _Reader.integers,
    Tag.SET: _Reader.plain_set,
    Tag.FROZENSET: _Reader.plain_set,
    Tag.DICT: _Reader.mapping,
    Tag.ORDERED_DICT: _Reader.mapping,
    Tag.DEFAULT_DICT: _Reader.mapping,
    Tag.COUNTER: _Reader.mapping,
    Tag.STATE_DICT: _Reader.mapping,
    Tag.PART: _Reader.part,
    Tag.NAMED_TUPLE: _Reader.fields,
    Tag.DATACLASS: _Reader.fields,
    Tag.TENSOR_SUBCLASS: _Reader.fields,
    Tag.ENUM: _Reader.member,
    Tag.FLAG: _Reader.member,
    Tag.TENSOR: _Reader.tensor,
    Tag.TENSOR_VIEW: _Reader.tensor,
    Tag.SPARSE_TENSOR: _Reader.sparse,
    Tag.SPARSE_PARAMETER: _Reader.sparse,
    Tag.QUANTIZED_TENSOR: _Reader.quantized,
    Tag.TORCH_SIZE: _Reader.torch_size,
    Tag.TORCH_DTYPE: _Reader.torch_dtype,
    Tag.TORCH_DEVICE: _Reader.torch_device,
    Tag.ARRAY: _Reader.array,
    Tag.ARRAY_VIEW: _Reader.array,
    Tag.NUMPY_SCALAR: _Reader.scalar,
}
