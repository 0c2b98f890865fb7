"""PyTorch's side of a capture: how tensors are described, refused, and read.

Imported only when the program has imported torch itself.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch

from deltackpt.skeleton.boxes import Box
from deltackpt.skeleton.holes import Hole
from deltackpt.skeleton.nodes import TorchDevice, TorchDtype, TorchSize
from deltackpt.skeleton.refusal import FREED, UnstorableError
from deltackpt.skeleton.strided_source import StridedSource
from deltackpt.skeleton.tags import Flag, Tag
from deltackpt.skeleton.torch_memory import buffer_of
from deltackpt.skeleton.torch_quantized import write_quantized
from deltackpt.skeleton.torch_sparse import LAYOUTS, write_sparse
from deltackpt.skeleton.view import View, row_major
from deltackpt.skeleton.walk import Walk, Writer
from deltackpt.tensor.dtype import DTYPES, DType

_TYPES: dict[torch.dtype, DType] = {
    getattr(torch, name): dtype for name, dtype in DTYPES.items() if hasattr(torch, name)
}

# Integers of the same width move as bits everywhere, also for types that have few kernels of their own.
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True, slots=True)
class LiveTensor:
    """A tensor on any device, of which ``shape`` is what is left when expanded dimensions are cut down."""

    tensor: torch.Tensor
    shape: tuple[int, ...]

    def own_memory(self) -> memoryview | None:
        tensor = self._compact()
        if tensor.device.type != "cpu" or tensor.is_conj() or tensor.is_neg() or not tensor.is_contiguous():
            return None
        return buffer_of(tensor).toreadonly()

    def copy(self, box: Box, out: memoryview) -> None:
        if not out:
            return
        piece = _bits_of(self._compact()[box.slices])
        torch.frombuffer(out, dtype=piece.dtype).view(box.shape).copy_(piece)

    def bits(self) -> torch.Tensor:
        """Live, on its device: integers that are the plain bytes in C order, for whoever copies them himself."""
        return _bits_of(self._compact())

    def _compact(self) -> torch.Tensor:
        tensor = self.tensor.detach()
        return tensor if tensor.shape == self.shape else tensor[Box.whole(self.shape).slices]


def _bits_of(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.resolve_conj().resolve_neg()
    bits = _BITS.get(tensor.itemsize)
    return tensor if bits is None else tensor.view(bits)


def plain_bytes(tensor: torch.Tensor) -> memoryview:
    """The C-order bytes of a whole tensor: its own memory, or a copy of it."""
    return buffer_of(LiveTensor(tensor, tuple(tensor.shape)).bits().cpu().contiguous()).toreadonly()


def _open(tensor: torch.Tensor, view: View) -> StridedSource:
    return StridedSource(LiveTensor(tensor, view.shape), view)


def _describe(tensor: torch.Tensor, dtype: DType, path: str) -> tuple[View, Hashable]:
    """The tensor's window on its storage, and what stands for that storage."""
    shape: tuple[int, ...] = tuple(tensor.shape)
    size = dtype.itemsize
    strides: tuple[int, ...] | None = tuple([step * size for step in tensor.stride()])
    if strides == row_major(shape, size):
        strides = None
    if 0 in shape:
        return View(dtype, shape, strides), ("empty", id(tensor))
    if tensor.is_conj() or tensor.is_neg():
        view = View(dtype, shape, strides)
        return view if view.is_one_to_one() else View(dtype, shape), ("resolved", id(tensor))
    storage = tensor.untyped_storage()
    address = storage.data_ptr()
    if not address and not storage.nbytes():
        raise UnstorableError(path, FREED)
    return View(dtype, shape, strides, int(tensor.storage_offset()) * size), address or ("storage", storage._cdata)


def _hole(walk: Walk, tensor: torch.Tensor, path: str, flags: int) -> None:
    known = walk.census.seen.get(id(tensor))
    if known is not None:
        walk.hole(known.again(path, walk.part))
        return
    dtype = _storable_type(tensor, path)
    view, storage = _describe(tensor, dtype, path)
    walk.hole(Hole(path, walk.part, int(Tag.TENSOR), flags, (), view, storage, tensor, _open))


def outline(tensor: torch.Tensor) -> Hashable:
    """All that the place of a plain tensor with memory depends on, but for its storage; None for any other tensor."""
    if tensor.layout is not torch.strided or tensor.is_nested or tensor.is_conj() or tensor.is_neg():
        return None
    if tensor.is_quantized or not tensor.data_ptr():
        return None
    where = tensor.storage_offset(), tensor.device
    return type(tensor), tensor.requires_grad, tensor.dtype, tensor.shape, tensor.stride(), where


def storage_of(tensor: torch.Tensor) -> int:
    """The address of the storage of a tensor that has an outline."""
    return tensor.data_ptr() - int(tensor.storage_offset()) * tensor.itemsize


def _storable_type(tensor: torch.Tensor, path: str) -> DType:
    """The element type of a strided tensor with memory of its own; the refusal of any other."""
    if tensor.is_meta:
        raise UnstorableError(path, "a tensor on the meta device has no values; materialise it before committing")
    if tensor.is_nested:
        raise UnstorableError(path, "nested tensors cannot be stored; store list(it.unbind()) instead")
    if tensor.layout is not torch.strided:
        raise UnstorableError(path, f"tensors of layout {tensor.layout} cannot be stored; pass to_dense()")
    dtype = _TYPES.get(tensor.dtype)
    if dtype is None:
        raise UnstorableError(path, f"tensors of type {tensor.dtype} cannot be stored; convert it to a stored type")
    return dtype


def _tensor(walk: Walk, tensor: torch.Tensor, path: str) -> None:
    if tensor.layout in LAYOUTS:
        write_sparse(walk, tensor, path, Tag.SPARSE_TENSOR)
    elif tensor.is_quantized:
        write_quantized(walk, tensor, path, 0)
    else:
        _hole(walk, tensor, path, int(Flag.REQUIRES_GRAD) if tensor.requires_grad else 0)


def _parameter(walk: Walk, tensor: torch.Tensor, path: str) -> None:
    if tensor.layout in LAYOUTS:
        write_sparse(walk, tensor, path, Tag.SPARSE_PARAMETER)
    elif tensor.is_quantized:
        write_quantized(walk, tensor, path, int(Flag.PARAMETER))
    else:
        _hole(walk, tensor, path, int(Flag.PARAMETER) | (int(Flag.REQUIRES_GRAD) if tensor.requires_grad else 0))


def constant_node(value: torch.Size | torch.dtype | torch.device) -> TorchSize | TorchDtype | TorchDevice:
    """The node of what PyTorch has beside tensors."""
    if isinstance(value, torch.Size):
        return TorchSize(tuple(value))
    return TorchDevice(str(value)) if isinstance(value, torch.device) else TorchDtype(str(value).removeprefix("torch."))


def _constant(walk: Walk, value: torch.Size | torch.dtype | torch.device, path: str) -> None:
    match constant_node(value):
        case TorchSize(extents):
            walk.atoms += (int(Tag.TORCH_SIZE), len(extents), *extents)
        case TorchDtype(name):
            walk.atoms += (int(Tag.TORCH_DTYPE), name)
        case TorchDevice(name):
            walk.atoms += (int(Tag.TORCH_DEVICE), name)


def is_plain(hole: Hole) -> bool:
    """Whether a leaf is a tensor that has its place by itself: no piece of a sparse or a quantised one."""
    return hole.opener is _open and hole.tag == Tag.TENSOR and type(hole.subject) in (torch.Tensor, torch.nn.Parameter)


TORCH_WRITERS: dict[type, Writer] = {
    torch.Tensor: _tensor,
    torch.nn.Parameter: _parameter,
    **dict.fromkeys((torch.Size, torch.dtype, torch.device), _constant),
}


def table_form(tensor: torch.Tensor) -> tuple[DType | str, tuple[int, ...]]:
    """Element type and shape as a tensor table has them; a type that is not stored by its name."""
    return _TYPES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape)


def objection(tensor: torch.Tensor) -> str | None:
    """Why the values of a live tensor cannot be replaced; None when they can."""
    if tensor.is_meta:
        return "on the meta device, which holds no values"
    if tensor.is_inference() and not torch.is_inference_mode_enabled():
        return "made in inference mode, outside of which it is read-only"
    if any(step == 0 and extent > 1 for step, extent in zip(tensor.stride(), tensor.shape, strict=True)):
        return "expanded, so that several of its elements are one"
    return None


def overwrite(tensor: torch.Tensor, plain: memoryview) -> None:
    """Replace the values of a live tensor with C-order bytes, on its device and with its strides."""
    if not tensor.numel():
        return
    kind = tensor.dtype
    target = tensor.detach()
    if not (tensor.is_conj() or tensor.is_neg()):
        # As bits: some types have no kernel that copies them.
        kind = _BITS.get(tensor.itemsize, kind)
        target = target.view(kind)
    with torch.no_grad():
        target.copy_(torch.frombuffer(plain, dtype=torch.uint8).view(kind).view(tensor.shape))
