"""The nested state of a PyTorch file as a skeleton's tree, type for type what PyTorch itself loads as weights only.

Tensors refer to the rows that the file's spans became. Several rows of one storage keep their places in it, as in a
live state. NumPy arrays, whose bytes are part of the pickle, get rows of their own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from deltackpt.content.pickled_arrays import ArraySource, array_of, number_of, scalar_of
from deltackpt.content.table import Row
from deltackpt.content.unfit import UnfitError, fits
from deltackpt.formats.pickles import nodes as inert
from deltackpt.formats.pickles.nodes import Node
from deltackpt.formats.pickles.state import State
from deltackpt.formats.pickles.torch_types import ELEMENTS
from deltackpt.formats.spans import TensorSpan
from deltackpt.skeleton.nodes import (
    PARAMETER_TYPES,
    PER_CHANNEL,
    PER_CHANNEL_FLOATING,
    PER_TENSOR,
    QUANTIZED_PARTS,
    SPARSE_PARTS,
    Mapping,
    NumpyArray,
    Placement,
    QuantizedTensor,
    Reference,
    SparseTensor,
    TorchDevice,
    TorchDtype,
    TorchSize,
    TorchTensor,
    Tree,
    is_packed,
    shape_of_values,
)
from deltackpt.skeleton.nodes import Sequence as SequenceNode
from deltackpt.skeleton.tags import COALESCED, MAX_DEPTH, TWIN_SHIFT, Flag, Tag
from deltackpt.skeleton.view import View, row_major
from deltackpt.tensor.dtype import DTYPES
from deltackpt.tensor.source import TensorSource

_DICTS = {
    "dict": Tag.DICT,
    "OrderedDict": Tag.ORDERED_DICT,
    "defaultdict": Tag.DEFAULT_DICT,
    "Counter": Tag.COUNTER,
}
_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, range, slice)
_METADATA = "_metadata"
_MAX_ARRAY_BYTES = 1 << 24
_MAX_VALUE_BYTES = 1 << 20

AddRow = Callable[[str, TensorSource], Row]
"""Adds a row under a name within the file."""


@dataclass(frozen=True, slots=True)
class RowsOfFile:
    """The rows that a file's tensor spans became, by where they stand in it."""

    spans: Sequence[TensorSpan]
    rows: Sequence[Row]
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", [span.offset for span in self.spans])

    def holding(self, start: int, stop: int) -> tuple[Row, TensorSpan]:
        """The row that holds bytes ``start`` to ``stop`` of the file."""
        at = bisect_right(self.starts, start) - 1
        while at >= 0:
            span = self.spans[at]
            if span.offset <= start and stop <= span.offset + span.length:
                return self.rows[at], span
            if span.length:
                break
            at -= 1
        raise UnfitError("a tensor whose bytes were not found")


@dataclass(slots=True)
class PickledState:
    """Makes trees of a file's nodes. ``add`` takes in rows for arrays; ``held`` notes the rows of a storage in use."""

    state: State
    rows: RowsOfFile
    add: AddRow
    held: dict[str, dict[Row, int]] = field(default_factory=dict)
    _twins: dict[Hashable, dict[int, int]] = field(default_factory=dict)
    _arrays: dict[int, NumpyArray] = field(default_factory=dict)
    _scales: dict[int, tuple[TorchTensor, ...]] = field(default_factory=dict)
    _array_bytes: int = 0

    def tree(self, node: Node, path: str, depth: int = 0) -> Tree:
        """The tree of ``node``, which stands at ``path`` of the file; UnfitError says what cannot be made again."""
        if depth > MAX_DEPTH:
            raise UnfitError(f"a value nested deeper than {MAX_DEPTH} levels")
        if type(node) in _PLAIN:
            fits(not isinstance(node, str | bytes | bytearray) or len(node) <= _MAX_VALUE_BYTES, "a very long value")
            return node
        make = _MAKERS.get(type(node))
        if make is None:
            raise UnfitError(_named(node))
        return make(self, node, path, depth + 1)

    def placements(self) -> Iterator[tuple[Row, Placement]]:
        """The places of rows that share a storage with others, or do not begin at its start."""
        for held in self.held.values():
            first = next(iter(held))
            if len(held) > 1 or held[first]:
                for row, start in held.items():
                    yield row, Placement(None, first.reference, start)

    def _items(self, items: Sequence[Node], path: str, depth: int) -> list[Tree]:
        return [self.tree(item, f"{path}/{number}", depth) for number, item in enumerate(items)]

    def _list(self, node: list[Node], path: str, depth: int) -> Tree:
        return SequenceNode(Tag.LIST, self._items(node, path, depth))

    def _tuple(self, node: tuple[Node, ...], path: str, depth: int) -> Tree:
        return SequenceNode(Tag.TUPLE, self._items(node, path, depth))

    def _dict(self, node: inert.Dict, path: str, depth: int) -> Tree:
        keys = [key for key, _ in node.pairs]
        items = [self.tree(item, f"{path}/{key}", depth) for key, item in node.pairs]
        if node.attributes is None:
            return Mapping(_DICTS[node.kind], keys, items, node.factory or "None")
        attributes = dict(node.attributes.pairs)
        fits(node.kind == "OrderedDict" and list(attributes) == [_METADATA], "an OrderedDict with attributes")
        metadata = self.tree(attributes[_METADATA], f"{path}.{_METADATA}", depth)
        return Mapping(Tag.STATE_DICT, keys, items, metadata=metadata)

    def _set(self, node: inert.Set, path: str, depth: int) -> Tree:
        return frozenset(node.items) if node.frozen else set(node.items)

    def _tensor(self, node: inert.Tensor, path: str, depth: int) -> TorchTensor:
        return self._leaf(node, node, Flag.REQUIRES_GRAD if node.requires_grad else Flag(0))

    def _parameter(self, node: inert.Parameter, path: str, depth: int) -> TorchTensor:
        plain = node.attributes is None or (type(node.attributes) is inert.Dict and not node.attributes.pairs)
        fits(type(node.data) is inert.Tensor and plain, "a parameter with attributes")
        return self._leaf(node.data, node, Flag.PARAMETER | (Flag.REQUIRES_GRAD if node.requires_grad else Flag(0)))

    def _leaf(self, tensor: inert.Tensor, subject: Node, flags: Flag) -> TorchTensor:
        """``subject`` is the object that the state has here: the tensor, or the parameter around it."""
        reference, view = self._place(tensor)
        twin = self._twin((reference, view, flags), subject)
        return TorchTensor(reference, view, int(flags) | twin << TWIN_SHIFT)

    def _place(self, tensor: inert.Tensor) -> tuple[Reference, View | None]:
        dtype = ELEMENTS[tensor.dtype]
        fits(dtype.name == tensor.dtype, f"a tensor of type {tensor.dtype}")
        fits(not tensor.conj and not tensor.neg, "a conjugate or negative view")
        return self._window(tensor, _view(tensor))

    def _window(self, tensor: inert.Tensor, view: View) -> tuple[Reference, View | None]:
        """The row that holds what ``view`` shows of the tensor's storage, and where in it, unless it is all of it."""
        place = self.state.places.get(tensor.storage.key)
        if place is None:
            raise UnfitError("a storage that is not in the file")
        low, high = view.bounds()
        row, span = self.rows.holding(place.offset + low, place.offset + high)
        start = span.offset - place.offset
        if high > low:
            self.held.setdefault(tensor.storage.key, {}).setdefault(row, start)
        view = replace(view, offset=view.offset - start) if high > low else view
        whole = View(span.dtype, span.shape)
        return row.reference, None if view == whole else view

    def _sparse(self, node: inert.Sparse, path: str, depth: int) -> SparseTensor:
        fits(node.layout in SPARSE_PARTS and all(type(part) is inert.Tensor for part in node.parts), "a sparse tensor")
        parts = tuple(self._tensor(part, path, depth) for part in node.parts)
        coalesced = COALESCED if node.coalesced else 0
        twin = self._twin(("sparse", node.layout, node.shape, coalesced, parts), node)
        return SparseTensor(node.layout, node.shape, coalesced | twin << TWIN_SHIFT, parts)

    def _quantized(self, node: inert.Quantized, path: str, depth: int) -> QuantizedTensor:
        data, parameters, scheme = node.data, node.parameters, _scheme(node)
        fits(scheme in QUANTIZED_PARTS and not data.requires_grad, f"a quantised tensor of {scheme}")
        values = TorchTensor(*self._window(data, _whole_numbers(data)), 0)
        axis: int | None = None
        if scheme == PER_TENSOR:
            fits(len(parameters) == 2, "a quantised tensor without its scale")
            rest = self._numbers(node, path)
        else:
            fits(len(parameters) == 3 and type(parameters[2]) is int, "a quantised tensor without its axis")
            fits(all(type(part) is inert.Tensor for part in parameters[:2]), "scales that are no tensors")
            axis, rest = int(parameters[2]), tuple(self._tensor(part, path, depth) for part in parameters[:2])
            fits(0 <= axis < len(data.shape), "a quantised tensor without its axis")
            for part, kind in zip(parameters, PARAMETER_TYPES[scheme], strict=False):
                fits((part.dtype, part.shape) == (kind, data.shape[axis : axis + 1]), f"a quantised tensor of {scheme}")
        alike = ("quantized", data.dtype, scheme, axis, data.shape, values, rest)
        twin = self._twin(alike, node)
        return QuantizedTensor(data.dtype, scheme, axis, data.shape, twin << TWIN_SHIFT, (values, *rest))

    def _numbers(self, node: inert.Quantized, path: str) -> tuple[TorchTensor, ...]:
        """Scale and zero point of a tensor, in rows of their own."""
        if id(node) not in self._scales:
            kinds = (DTYPES["float64"], DTYPES["int64"])
            made = []
            for name, number, dtype in zip(QUANTIZED_PARTS[PER_TENSOR][1:], node.parameters, kinds, strict=True):
                row = self.add(f"{path}/{name}".removeprefix("/"), ArraySource(number_of(number, dtype)))
                made.append(TorchTensor(row.reference, None, 0))
            self._scales[id(node)] = tuple(made)
        return self._scales[id(node)]

    def _twin(self, alike: Hashable, subject: Node) -> int:
        numbers = self._twins.setdefault(alike, {})
        return numbers.setdefault(id(subject), len(numbers))

    def _array(self, node: inert.NumpyArray, path: str, depth: int) -> NumpyArray:
        if id(node) not in self._arrays:
            self._arrays[id(node)] = self._new_array(node, path)
        return self._arrays[id(node)]

    def _new_array(self, node: inert.NumpyArray, path: str) -> NumpyArray:
        described = array_of(node)
        self._array_bytes += described.nbytes
        fits(self._array_bytes <= _MAX_ARRAY_BYTES, "NumPy arrays of many megabytes")
        row = self.add(path.removeprefix("/"), ArraySource(described))
        return NumpyArray(row.reference, None, described.type, 0)

    def _scalar(self, node: inert.NumpyScalar, path: str, depth: int) -> Tree:
        return scalar_of(node)

    def _size(self, node: inert.Size, path: str, depth: int) -> TorchSize:
        return TorchSize(node.extents)

    def _dtype(self, node: inert.Dtype, path: str, depth: int) -> TorchDtype:
        return TorchDtype(node.name)

    def _device(self, node: inert.Device, path: str, depth: int) -> TorchDevice:
        return TorchDevice(node.name)


_MAKERS: dict[type, Callable[[PickledState, Node, str, int], Tree]] = {
    list: PickledState._list,
    tuple: PickledState._tuple,
    inert.Dict: PickledState._dict,
    inert.Set: PickledState._set,
    inert.Tensor: PickledState._tensor,
    inert.Parameter: PickledState._parameter,
    inert.Sparse: PickledState._sparse,
    inert.Quantized: PickledState._quantized,
    inert.NumpyArray: PickledState._array,
    inert.NumpyScalar: PickledState._scalar,
    inert.Size: PickledState._size,
    inert.Dtype: PickledState._dtype,
    inert.Device: PickledState._device,
}


def _view(tensor: inert.Tensor) -> View:
    """What a tensor shows of its storage."""
    dtype = ELEMENTS[tensor.dtype]
    if 0 in tensor.shape:
        return View(dtype, tensor.shape)
    strides = tuple(step * tensor.itemsize for step in tensor.strides)
    return View(dtype, tensor.shape, strides, tensor.offset * tensor.itemsize).canonical()


def _scheme(node: inert.Quantized) -> str:
    """The scheme that PyTorch makes of a node: it writes one word for both with scales per channel."""
    zero_points = node.parameters[1] if node.scheme == PER_CHANNEL and len(node.parameters) > 1 else None
    floating = type(zero_points) is inert.Tensor and zero_points.dtype == "float32"
    return PER_CHANNEL_FLOATING if floating else node.scheme


def _whole_numbers(data: inert.Tensor) -> View:
    """What a quantised tensor shows of its storage."""
    if not is_packed(data.dtype):
        return _view(data)
    whole = View(ELEMENTS[data.dtype], shape_of_values(data.dtype, data.shape))
    plain = not data.offset and data.strides == row_major(data.shape, 1)
    fits(plain and data.storage.nbytes >= whole.nbytes, "a window on packed values")
    return whole


def _named(node: Node) -> str:
    """What a node is that cannot be made again."""
    if isinstance(node, inert.Opaque | inert.Symbol):
        return node.name
    return f"a {type(node).__name__.lower()}"
