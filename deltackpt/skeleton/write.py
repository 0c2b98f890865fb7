"""From a skeleton's tree back to its bytes: the inverse of ``read``, and the same bytes that ``capture`` writes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from deltackpt.skeleton.array_types import type_atoms
from deltackpt.skeleton.nodes import (
    Composite,
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
from deltackpt.skeleton.plain_writers import INT64, PLAIN_WRITERS
from deltackpt.skeleton.tags import VERSION, Tag
from deltackpt.skeleton.view import View
from deltackpt.skeleton.walk import Census, Walk, Writer

_encode = msgspec.msgpack.Encoder().encode

_OF_INTS = {Tag.LIST: Tag.INT_LIST, Tag.TUPLE: Tag.INT_TUPLE}
_ORDINARY = {ints: tag for tag, ints in _OF_INTS.items()}


def write_skeleton(skeleton: Skeleton) -> bytes:
    """The bytes of a skeleton. StateLimitError for one that nests too deep, UnstorableError for no value of a state."""
    walk = Walk(skeleton.part, NODE_WRITERS, Census())
    walk.write(skeleton.tree, skeleton.part)
    atoms: list[object] = [VERSION, skeleton.entries, len(skeleton.placements)]
    for index in sorted(skeleton.placements):
        atoms += (index, *_placement(skeleton.placements[index], skeleton.part))
    return _encode((atoms + walk.atoms, walk.blobs))


def _placement(placement: Placement, part: str) -> Iterator[object]:
    yield from _strides(placement.strides)
    if placement.group is None:
        yield None
    else:
        yield from (*_reference(placement.group, part), placement.position)


def _reference(reference: Reference, part: str) -> tuple[object, ...]:
    return (reference.index,) if reference.part == part else (reference.part, reference.index)


def _strides(strides: tuple[int, ...] | None) -> tuple[object, ...]:
    return (None,) if strides is None else (len(strides), *strides)


def _view(view: View | None) -> tuple[object, ...]:
    if view is None:
        return ()
    return (view.dtype.name, len(view.shape), *view.shape, *_strides(view.strides), view.offset)


def _sequence(walk: Walk, node: Sequence, path: str) -> None:
    tag, items = _ORDINARY.get(node.tag, node.tag), node.items
    if items and set(map(type, items)) == {int} and min(items) in INT64 and max(items) in INT64:
        walk.atoms += (int(_OF_INTS[tag]), len(items), *items)
        return
    walk.enter(node, path)
    walk.atoms += (int(tag), len(items))
    for index, item in enumerate(items):
        walk.child(item, path, index)
    walk.leave(node)


def _mapping(walk: Walk, node: Mapping, path: str) -> None:
    walk.atoms.append(int(node.tag))
    walk.enter(node, path)
    if node.tag is Tag.DEFAULT_DICT:
        walk.atoms.append(node.factory)
    if node.tag is Tag.STATE_DICT:
        walk.write(node.metadata, f"{path}._metadata")
    walk.atoms.append(len(node.keys))
    met: set[Tree] = set()
    for key, item in zip(node.keys, node.items, strict=True):
        walk.child(item, path, walk.key(key, path, met))
    walk.leave(node)


def _fields(walk: Walk, node: Fields, path: str) -> None:
    walk.enter(node, path)
    walk.atoms += (int(node.tag), node.name, len(node.fields))
    for name, item in zip(node.fields, node.items, strict=True):
        walk.atoms.append(name)
        walk.child(item, path, name)
    walk.leave(node)


def _member(walk: Walk, node: Member, path: str) -> None:
    walk.atoms += (int(node.tag), node.name)
    walk.write(node.member, path)


def _part(walk: Walk, node: PartHere, path: str) -> None:
    walk.atoms += (int(Tag.PART), node.name)


def _tensor(walk: Walk, node: TorchTensor, path: str) -> None:
    tag = Tag.TENSOR if node.view is None else Tag.TENSOR_VIEW
    walk.atoms += (int(tag), node.flags, *_reference(node.reference, walk.part), *_view(node.view))


def _sparse(walk: Walk, node: SparseTensor, path: str) -> None:
    tag = Tag.SPARSE_PARAMETER if node.parameter else Tag.SPARSE_TENSOR
    walk.atoms += (int(tag), node.flags, node.layout, len(node.shape), *node.shape)
    _parts(walk, node, path)


def _quantized(walk: Walk, node: QuantizedTensor, path: str) -> None:
    axis = () if node.axis is None else (node.axis,)
    walk.atoms += (int(Tag.QUANTIZED_TENSOR), node.flags, node.dtype, node.scheme, *axis, len(node.shape), *node.shape)
    _parts(walk, node, path)


def _parts(walk: Walk, node: Composite, path: str) -> None:
    walk.enter(node, path)
    for name, part in zip(node.part_names, node.parts, strict=True):
        walk.child(part, path, name)
    walk.leave(node)


def _array(walk: Walk, node: NumpyArray, path: str) -> None:
    tag = Tag.ARRAY if node.view is None else Tag.ARRAY_VIEW
    reference = _reference(node.reference, walk.part)
    walk.atoms += (int(tag), node.flags, *type_atoms(node.type), *reference, *_view(node.view))


def _large_value(walk: Walk, node: LargeValue, path: str) -> None:
    walk.atoms += (int(Tag.LARGE_VALUE), node.flags, int(node.kind), *_reference(node.reference, walk.part))


def _scalar(walk: Walk, node: NumpyScalar, path: str) -> None:
    walk.atoms += (int(Tag.NUMPY_SCALAR), *type_atoms(node.type))
    walk.blobs.append(node.raw)


def _size(walk: Walk, node: TorchSize, path: str) -> None:
    walk.atoms += (int(Tag.TORCH_SIZE), len(node.extents), *node.extents)


def _dtype(walk: Walk, node: TorchDtype, path: str) -> None:
    walk.atoms += (int(Tag.TORCH_DTYPE), node.name)


def _device(walk: Walk, node: TorchDevice, path: str) -> None:
    walk.atoms += (int(Tag.TORCH_DEVICE), node.name)


NODE_WRITERS: dict[type, Writer] = {
    **PLAIN_WRITERS,
    Sequence: _sequence,
    Mapping: _mapping,
    Fields: _fields,
    Member: _member,
    PartHere: _part,
    TorchTensor: _tensor,
    SparseTensor: _sparse,
    QuantizedTensor: _quantized,
    NumpyArray: _array,
    LargeValue: _large_value,
    NumpyScalar: _scalar,
    TorchSize: _size,
    TorchDtype: _dtype,
    TorchDevice: _device,
}
