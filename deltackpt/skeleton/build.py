"""From a tree and filled memory to the live state."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable
from typing import Any

from deltackpt.errors import InvalidInputError
from deltackpt.skeleton import large_values
from deltackpt.skeleton.nodes import (
    Fields,
    LargeValue,
    Mapping,
    Member,
    NumpyArray,
    NumpyScalar,
    PartHere,
    QuantizedTensor,
    Sequence,
    SparseTensor,
    TensorNode,
    TorchDevice,
    TorchDtype,
    TorchSize,
    TorchTensor,
    Tree,
)
from deltackpt.skeleton.placement import Allocator, Block, Memory
from deltackpt.skeleton.registry import RegistrationError, class_named
from deltackpt.skeleton.subclasses import put_together
from deltackpt.skeleton.tags import FACTORIES, Tag


class MissingTorchError(InvalidInputError):
    """The state holds PyTorch objects and torch is not installed."""


def torch_build() -> Any:
    """PyTorch's builders; MissingTorchError when it is not installed."""
    try:
        from deltackpt.skeleton import torch_build
    except ModuleNotFoundError as error:
        raise MissingTorchError(
            "the state holds PyTorch tensors and torch is not installed; "
            "run pip install 'deltackpt[torch]', or check out to a safetensors file instead"
        ) from error
    return torch_build


def numpy_build() -> Any:
    """NumPy's builders, imported only for states that need them."""
    from deltackpt.skeleton import numpy_build

    return numpy_build


def allocator_of(library: type[TensorNode]) -> Allocator:
    if library is LargeValue:
        return large_values.allocate
    made: Allocator = (torch_build() if library is TorchTensor else numpy_build()).allocate
    return made


class Builder:
    """Makes each node's object. Tensor nodes that are equal become one object."""

    def __init__(self, memory: Memory, parts: dict[str, Tree], device: Any) -> None:
        self._memory = memory
        self._parts = parts
        self._device = device
        self._made: dict[Tree, Any] = {}
        self._moved: dict[Block, Any] = {}

    def build(self, tree: Tree) -> Any:
        """The object of a node; a plain value is itself."""
        make = _MAKERS.get(type(tree))
        return tree if make is None else make(self, tree)

    def _sequence(self, node: Sequence) -> list[Any] | tuple[Any, ...]:
        items = []
        for item in node.items:
            items.append(self.build(item))
        return items if node.tag in (Tag.LIST, Tag.INT_LIST) else tuple(items)

    def _mapping(self, node: Mapping) -> dict[Any, Any]:
        made = _empty_dict(node)
        for key, item in zip(node.keys, node.items, strict=True):
            made[self._key(key)] = self.build(item)
        if len(made) != len(node.keys):
            raise _alike(node.keys)
        if node.tag is Tag.STATE_DICT:
            made._metadata = self.build(node.metadata)  # type: ignore[attr-defined]
        return made

    def _set(self, elements: set[Tree] | frozenset[Tree]) -> set[Any] | frozenset[Any]:
        made = type(elements)(map(self._key, elements))
        if len(made) != len(elements):
            raise _alike(elements)
        return made

    def _tuple(self, items: tuple[Tree, ...]) -> tuple[Any, ...]:
        return tuple(map(self.build, items))

    def _key(self, key: Tree) -> Any:
        made = self.build(key)
        try:
            hash(made)
        except TypeError as error:
            raise RegistrationError(
                f"{key!r:.80} cannot be a key: {error}; load it with the class as it was"
            ) from error
        return made

    def _fields(self, node: Fields) -> Any:
        entry = class_named(node.name, node.tag)
        if node.tag is not Tag.TENSOR_SUBCLASS and tuple(node.fields) != entry.fields:
            raise RegistrationError(
                f"{node.name} was stored with fields {node.fields}, the registered class has {list(entry.fields)}; "
                "load it with the class as it was"
            )
        values = []
        for item in node.items:
            values.append(self.build(item))
        if node.tag is Tag.TENSOR_SUBCLASS:
            return put_together(entry.cls, node.name, list(node.fields), values)
        return _named_tuple(entry.cls, values) if node.tag is Tag.NAMED_TUPLE else _dataclass(entry.cls, node, values)

    def _member(self, node: Member) -> Any:
        cls: Any = class_named(node.name, node.tag).cls
        try:
            return cls(node.member) if node.tag is Tag.FLAG else cls[node.member]
        except (KeyError, ValueError) as error:
            raise RegistrationError(
                f"{node.name} has no member {node.member!r}; load it with the class as it was"
            ) from error

    def _part(self, node: PartHere) -> Any:
        return self.build(self._parts[node.name])

    def _tensor(self, node: TorchTensor) -> Any:
        if node not in self._made:
            block, view = self._memory.window(node)
            self._made[node] = torch_build().tensor(node, self._handle(block), view)
        return self._made[node]

    def _array(self, node: NumpyArray) -> Any:
        if node not in self._made:
            block, view = self._memory.window(node)
            self._made[node] = numpy_build().array(node, block.handle, view)
        return self._made[node]

    def _sparse(self, node: SparseTensor) -> Any:
        if node not in self._made:
            self._made[node] = torch_build().sparse(node, [self._tensor(part) for part in node.parts])
        return self._made[node]

    def _quantized(self, node: QuantizedTensor) -> Any:
        if node not in self._made:
            self._made[node] = torch_build().quantized(node, [self._tensor(part) for part in node.parts])
        return self._made[node]

    def _large_value(self, node: LargeValue) -> bytes | bytearray | str:
        if node not in self._made:
            block, _ = self._memory.window(node)
            self._made[node] = large_values.value(node, block.handle)
        made: bytes | bytearray | str = self._made[node]
        return made

    def _handle(self, block: Block) -> Any:
        """The block's memory on the device that was asked for; each block moves once."""
        if self._device is None:
            return block.handle
        if block not in self._moved:
            self._moved[block] = block.handle.to(self._device)
        return self._moved[block]

    def _size(self, node: TorchSize) -> Any:
        return torch_build().torch.Size(node.extents)

    def _constant(self, node: TorchDtype | TorchDevice) -> Any:
        return torch_build().constant(node)

    def _scalar(self, node: NumpyScalar) -> Any:
        return numpy_build().scalar(node)


_MAKERS: dict[type, Any] = {
    Sequence: Builder._sequence,
    set: Builder._set,
    frozenset: Builder._set,
    tuple: Builder._tuple,
    Mapping: Builder._mapping,
    Fields: Builder._fields,
    Member: Builder._member,
    PartHere: Builder._part,
    TorchTensor: Builder._tensor,
    NumpyArray: Builder._array,
    SparseTensor: Builder._sparse,
    QuantizedTensor: Builder._quantized,
    TorchSize: Builder._size,
    TorchDtype: Builder._constant,
    TorchDevice: Builder._constant,
    NumpyScalar: Builder._scalar,
    LargeValue: Builder._large_value,
}


def _alike(keys: Iterable[Tree]) -> RegistrationError:
    return RegistrationError(
        f"of these keys or elements some are equal now: {list(keys)!r:.200}; load them with their classes as they were"
    )


def _empty_dict(node: Mapping) -> dict[Any, Any]:
    if node.tag is Tag.DEFAULT_DICT:
        return defaultdict(FACTORIES[node.factory])
    if node.tag is Tag.COUNTER:
        return Counter()
    return {} if node.tag is Tag.DICT else OrderedDict()


def _named_tuple(cls: type, values: list[Any]) -> Any:
    return tuple.__new__(cls, values)


def _dataclass(cls: type, node: Fields, values: list[Any]) -> Any:
    """Field by field, without the constructor: a frozen class or one with side effects comes back as it was."""
    made: Any = object.__new__(cls)
    for name, value in zip(node.fields, values, strict=True):
        object.__setattr__(made, name, value)
    return made
