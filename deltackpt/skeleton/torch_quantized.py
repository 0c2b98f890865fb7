"""PyTorch's quantised tensors: whole numbers, and the scale and zero point that say which real numbers they stand for.

The whole numbers are a window on the tensor's own memory, so views of one storage stay views. With a scheme per
channel, scales and zero points are tensors already; one scale for all becomes two tensors without dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch

from deltackpt.skeleton.nodes import (
    PARAMETER_TYPES,
    PER_TENSOR,
    QUANTIZED_PARTS,
    QuantizedTensor,
    is_packed,
    shape_of_values,
)
from deltackpt.skeleton.refusal import FREED, UnstorableError
from deltackpt.skeleton.tags import TWIN_SHIFT, Tag
from deltackpt.skeleton.torch_sparse import Parts, place
from deltackpt.skeleton.view import row_major
from deltackpt.skeleton.walk import Walk

Form: TypeAlias = tuple[str, str, int | None, tuple[int, ...]]

_WHOLE = {
    "qint8": torch.int8,
    "quint8": torch.uint8,
    "qint32": torch.int32,
    "quint4x2": torch.uint8,
    "quint2x4": torch.uint8,
}
_PARAMETERS = {scheme: tuple(getattr(torch, name) for name in names) for scheme, names in PARAMETER_TYPES.items()}
"""Scales and zero points that PyTorch is given in another type it converts, and so copies."""


def write_quantized(walk: Walk, tensor: torch.Tensor, path: str, flags: int) -> None:
    """Append the node of a quantised tensor, and its parts below its name."""
    if reason := unreadable(tensor):
        raise UnstorableError(path, reason)
    parts = walk.census.once(tensor, quantized_parts)
    dtype, scheme, axis, shape = quantized_form(tensor)
    along = () if axis is None else (axis,)
    alike = (Tag.QUANTIZED_TENSOR, flags, dtype, scheme, along, shape, tuple(place(part) for _, part in parts))
    twin = walk.census.twin(tensor, alike)
    walk.enter(tensor, path)
    walk.atoms += (int(Tag.QUANTIZED_TENSOR), flags | twin << TWIN_SHIFT, dtype, scheme, *along, len(shape), *shape)
    for name, part in parts:
        walk.child(part, path, name)
    walk.leave(tensor)


def unreadable(tensor: torch.Tensor) -> str | None:
    """Why the values of a live quantised tensor cannot be read where they are; None when they can."""
    held = tensor.untyped_storage().nbytes()
    if tensor.numel() and not held:
        return FREED
    dtype, _, axis, shape = quantized_form(tensor)
    whole = (held,) == shape_of_values(dtype, shape) and tensor.is_contiguous() and not tensor.storage_offset()
    if is_packed(dtype) and not whole:
        return f"a window on packed {tensor.dtype} cannot be stored; commit the whole tensor"
    if axis is not None and shape[axis : axis + 1] != tuple(tensor.q_per_channel_scales().shape):
        return "a view in which scales per channel have lost their channels cannot be stored; commit the whole tensor"
    return None


def quantized_form(tensor: torch.Tensor) -> Form:
    """Element type, scheme, axis (None for one scale) and shape of a live quantised tensor, as its node has them."""
    scheme = str(tensor.qscheme()).removeprefix("torch.")
    axis = None if scheme == PER_TENSOR else tensor.q_per_channel_axis()
    return str(tensor.dtype).removeprefix("torch."), scheme, axis, tuple(tensor.shape)


def quantized_parts(tensor: torch.Tensor) -> Parts:
    """The dense parts of a live quantised tensor, by name: on its own memory, but a scale that is a single number.

    Not for one that is :func:`unreadable`: a window on a freed storage would take memory anew.
    """
    tensor = tensor.detach()
    dtype, scheme, axis, shape = quantized_form(tensor)
    if axis is None:
        numbers = (tensor.q_scale(), tensor.q_zero_point())
        rest = [
            torch.tensor(number, dtype=kind, device="cpu")
            for number, kind in zip(numbers, _PARAMETERS[scheme], strict=True)
        ]
    else:
        rest = [tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()]
    bare = torch.empty(0, dtype=_WHOLE[dtype], device=tensor.device)
    strides = (1,) if is_packed(dtype) else tensor.stride()
    values = bare.set_(tensor.untyped_storage(), int(tensor.storage_offset()), shape_of_values(dtype, shape), strides)
    return list(zip(QUANTIZED_PARTS[scheme], (values, *rest), strict=True))


def put_together(node: QuantizedTensor, dtype: torch.dtype, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The tensor on the memory of its parts. ValueError when they do not fit: kernels trust what they are given."""
    values, *parameters = parts
    if (values.dtype, tuple(values.shape)) != (_WHOLE.get(node.dtype), shape_of_values(node.dtype, node.shape)):
        raise ValueError(f"{values.dtype} {list(values.shape)} as the values of {node.dtype} {list(node.shape)}")
    _check_parameters(node, parameters)
    made = _bare(node, dtype, values.device, parameters)
    strides = row_major(node.shape, 1) if is_packed(node.dtype) else values.stride()
    return made.set_(values.untyped_storage(), int(values.storage_offset()), node.shape, strides)


def affine(scale: float, zero_point: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A tensor without values that has one scale for all."""
    return torch._empty_affine_quantized((0,), scale=scale, zero_point=zero_point, dtype=dtype, device=device)


def _check_parameters(node: QuantizedTensor, parameters: Sequence[torch.Tensor]) -> None:
    if node.axis is not None and node.axis >= len(node.shape):
        raise ValueError(f"scales along dimension {node.axis} of {len(node.shape)}")
    shape = () if node.axis is None else (node.shape[node.axis],)
    for name, part, kind in zip(node.part_names[1:], parameters, _PARAMETERS[node.scheme], strict=True):
        if (part.dtype, tuple(part.shape)) != (kind, shape):
            raise ValueError(f"{name} of {part.dtype} {list(part.shape)} for {node.scheme} of shape {list(node.shape)}")


def _bare(
    node: QuantizedTensor, dtype: torch.dtype, device: torch.device, parameters: Sequence[torch.Tensor]
) -> torch.Tensor:
    """A tensor without values that has the scheme."""
    if node.axis is None:
        scale, zero_point = (part.item() for part in parameters)
        return affine(float(scale), int(zero_point), dtype, device)
    scales, zero_points = parameters
    return torch._empty_per_channel_affine_quantized(
        (0,) * len(node.shape), scales=scales, zero_points=zero_points, axis=node.axis, dtype=dtype, device=device
    )
