"""Calls of PyTorch's functions: tensors are described, and checked against the storage that they view."""

from __future__ import annotations

from math import prod
from typing import TypeAlias

from deltackpt.errors import LimitError
from deltackpt.formats.pickles.limits import MAX_COUNT, MAX_RANK
from deltackpt.formats.pickles.misfit import Budget, MisfitError, fits
from deltackpt.formats.pickles.nodes import (
    Attributed,
    Device,
    Dict,
    Dtype,
    Layout,
    Meta,
    Node,
    Opaque,
    Parameter,
    Quantized,
    Size,
    Sparse,
    Storage,
    StorageView,
    Symbol,
    Tensor,
)
from deltackpt.formats.pickles.python_builders import Arguments, Builder
from deltackpt.formats.pickles.torch_types import ELEMENTS, PACKED

_Flags: TypeAlias = tuple[bool, bool, bool]

_LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")
_LAYOUT_NAMES = tuple(f"torch.{layout}" for layout in _LAYOUTS)
_SCHEMES = ("tensor_affine", "tensor_symmetric", "channel_affine", "channel_symmetric", "channel_affine_float_qparams")
_SCHEME_NAMES = frozenset(f"torch.per_{scheme}" for scheme in _SCHEMES)
_LONGEST_DEVICE = 64
_PLAIN_CLASSES = ("torch.Tensor", "torch.nn.parameter.Parameter")


def counts(value: Node, what: str) -> tuple[int, ...]:
    """Extents or strides: whole numbers that a framework can address, ``MAX_RANK`` of them at most."""
    numbers = value.extents if type(value) is Size else value
    fits(type(numbers) in (tuple, list))
    if len(numbers) > MAX_RANK:
        raise MisfitError(what, f"at most {MAX_RANK} numbers", len(numbers), LimitError)
    for number in numbers:
        fits(type(number) is int)
        if number < 0:
            raise MisfitError(what, "no negative number", number)
        if number > MAX_COUNT:
            raise MisfitError(what, f"at most {MAX_COUNT}", number, LimitError)
    return tuple(numbers)


def _window(window: Arguments, dtype: str, flags: _Flags) -> Tensor:
    """A tensor of ``dtype`` on a ``window``: storage, offset, shape, strides. It must not leave the storage."""
    storage, offset, size, stride = window
    fits(type(storage) in (Storage, StorageView) and type(offset) is int)
    shape, strides = counts(size, "a tensor's shape"), counts(stride, "a tensor's strides")
    if len(shape) != len(strides):
        raise MisfitError("a tensor's strides", f"{len(shape)} numbers", len(strides))
    if prod(filter(None, shape)) > MAX_COUNT:
        raise MisfitError("a tensor's shape", f"at most {MAX_COUNT} elements", list(shape), LimitError)
    if offset < 0:
        raise MisfitError("a tensor's offset", "no negative number", offset)
    whole, first, count = _extent(storage)
    itemsize = ELEMENTS[dtype].itemsize
    held = count * whole.itemsize // itemsize * PACKED.get(dtype, 1)
    end = offset + sum([(extent - 1) * step for extent, step in zip(shape, strides, strict=True)]) + 1
    if 0 not in shape and end > held:
        raise MisfitError("a tensor's end", f"at most element {held} of its storage", end)
    return Tensor(whole, dtype, itemsize, shape, strides, first * whole.itemsize // itemsize + offset, *flags)


def _extent(storage: Storage | StorageView) -> tuple[Storage, int, int]:
    """The whole storage, and the elements of it that may be used: the first, and how many."""
    if isinstance(storage, StorageView):
        return storage.storage, storage.start, storage.count
    return storage, 0, storage.count


def _dtype_of(storage: Node) -> str:
    fits(type(storage) in (Storage, StorageView))
    whole: Storage = storage if type(storage) is Storage else storage.storage
    return whole.dtype


def _flags(requires_grad: Node, metadata: Arguments) -> _Flags:
    """requires_grad, conj and neg; ``metadata`` has none or one dictionary of the last two."""
    fits(type(requires_grad) is bool)
    if not metadata or metadata[0] is None:
        return requires_grad, False, False
    fits(type(metadata[0]) is Dict and len(metadata[0].pairs) <= 2)
    bits = {key: value for key, value in metadata[0].pairs if type(key) is str and type(value) is bool}
    fits(len(bits) == len(metadata[0].pairs) and bits.keys() <= {"conj", "neg"})
    return requires_grad, bits.get("conj", False), bits.get("neg", False)


def _tensor_v1(args: Arguments, budget: Budget) -> Tensor:
    fits(len(args) == 4)
    return _window(args, _dtype_of(args[0]), (False, False, False))


def _tensor_v2(args: Arguments, budget: Budget) -> Tensor:
    fits(len(args) in (6, 7))
    return _window(args[:4], _dtype_of(args[0]), _flags(args[4], args[6:]))


def _tensor_v3(args: Arguments, budget: Budget) -> Tensor:
    fits(len(args) in (7, 8) and type(args[6]) is Dtype)
    return _window(args[:4], args[6].name, _flags(args[4], args[7:]))


def _parameter(args: Arguments, budget: Budget) -> Parameter:
    fits(len(args) in (3, 4) and type(args[1]) is bool)
    return Parameter(args[0], args[1], args[3] if len(args) == 4 else None)


def _sparse(args: Arguments, budget: Budget) -> Sparse:
    fits(len(args) == 2 and type(args[0]) is Layout and type(args[1]) is tuple)
    layout, data = args
    if layout.name == "sparse_coo":
        fits(len(data) in (3, 4))
        parts, shape, coalesced = data[:2], data[2], data[3] if len(data) == 4 else None
    else:
        fits(layout.name != "strided" and len(data) == 4)
        parts, shape, coalesced = data[:3], data[3], None
    fits(coalesced is None or type(coalesced) is bool)
    return Sparse(layout.name, parts, counts(shape, "a tensor's shape"), coalesced)


def _quantized(args: Arguments, budget: Budget) -> Quantized:
    fits(len(args) == 7 and type(args[4]) is tuple and len(args[4]) in (3, 4) and type(args[4][0]) is Symbol)
    scheme, *parameters = args[4]
    fits(scheme.name in _SCHEME_NAMES)
    data = _window(args[:4], _dtype_of(args[0]), _flags(args[5], ()))
    return Quantized(data, scheme.name.removeprefix("torch."), tuple(parameters))


def _meta(args: Arguments, budget: Budget) -> Meta:
    fits(len(args) == 4 and type(args[0]) is Dtype and type(args[3]) is bool)
    return Meta(args[0].name, counts(args[1], "a tensor's shape"), counts(args[2], "a tensor's strides"), args[3])


def _of_class(args: Arguments, budget: Budget) -> Node:
    """``_rebuild_from_type_v2(function, class, arguments, attributes)``: a tensor that carries more than its values."""
    fits(len(args) == 4 and type(args[0]) is Symbol and type(args[1]) is Symbol and type(args[2]) is tuple)
    function, made_as, inner, attributes = args
    build = TORCH_BUILDERS.get(function.name)
    made = build(inner, budget) if build is not None and build is not _of_class else None
    if made is None:
        return Opaque(made_as.name, inner, attributes)
    if made_as.name not in _PLAIN_CLASSES:
        return Opaque(made_as.name, (made,), attributes)
    bare = attributes is None or (type(attributes) is Dict and not attributes.pairs)
    return made if bare else Attributed(made, attributes)


def _size(args: Arguments, budget: Budget) -> Size:
    fits(len(args) <= 1)
    return Size(counts(args[0], "a torch.Size") if args else ())


def _device(args: Arguments, budget: Budget) -> Device:
    fits(len(args) in (1, 2) and type(args[0]) is str and len(args[0]) <= _LONGEST_DEVICE)
    if len(args) == 1:
        return Device(args[0])
    fits(type(args[1]) is int and 0 <= args[1] <= MAX_RANK * MAX_RANK)
    return Device(f"{args[0]}:{args[1]}")


def _layout(args: Arguments, budget: Budget) -> Layout:
    fits(len(args) == 1 and args[0] in _LAYOUT_NAMES)
    return Layout(args[0].removeprefix("torch."))


TORCH_BUILDERS: dict[str, Builder] = {
    "torch._utils._rebuild_tensor": _tensor_v1,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_qtensor": _quantized,
    "torch._utils._rebuild_meta_tensor_no_storage": _meta,
    "torch._tensor._rebuild_from_type_v2": _of_class,
    "torch.Size": _size,
    "torch.device": _device,
    "torch.serialization._get_layout": _layout,
}
