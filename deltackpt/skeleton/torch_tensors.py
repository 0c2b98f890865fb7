"""PyTorch's side of a capture: how tensors are described, refused, and read.

Imported only when the program has imported torch itself.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch

from deltackpt.skeleton.boxes import Box
from deltackpt.skeleton.holes import Hole
from deltackpt.skeleton.refusal import UnstorableError
from deltackpt.skeleton.strided_source import StridedSource
from deltackpt.skeleton.tags import COALESCED, TWIN_SHIFT, Flag, Tag
from deltackpt.skeleton.torch_memory import buffer_of
from deltackpt.skeleton.view import View, row_major
from deltackpt.skeleton.walk import Walk, Writer
from deltackpt.tensor.dtype import DTYPES, DType

_TYPES: dict[torch.dtype, DType] = {
    getattr(torch, name): dtype for name, dtype in DTYPES.items() if hasattr(torch, name)
}

# Integers of the same width move as bits everywhere, also for types that have few kernels of their own.
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

_QUANTIZED = (
    "store int_repr() with q_scale() and q_zero_point(), or with q_per_channel_scales(), q_per_channel_zero_points()"
    " and q_per_channel_axis(), and make it again after loading"
)

_COMPRESSED = {
    torch.sparse_csr: ("sparse_csr", "crow_indices", "col_indices"),
    torch.sparse_csc: ("sparse_csc", "ccol_indices", "row_indices"),
    torch.sparse_bsr: ("sparse_bsr", "crow_indices", "col_indices"),
    torch.sparse_bsc: ("sparse_bsc", "ccol_indices", "row_indices"),
}


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
        raise UnstorableError(path, "the tensor's storage has been freed; gather or reload it before committing")
    return View(dtype, shape, strides, int(tensor.storage_offset()) * size), address or ("storage", storage._cdata)


def _hole(walk: Walk, tensor: torch.Tensor, path: str, flags: int) -> None:
    known = walk.census.seen.get(id(tensor))
    if known is not None:
        walk.hole(known.again(path, walk.part))
        return
    dtype = _storable_type(tensor, path)
    view, storage = _describe(tensor, dtype, path)
    walk.hole(Hole(path, walk.part, int(Tag.TENSOR), flags, (), view, storage, tensor, _open))


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
        advice = _QUANTIZED if tensor.is_quantized else "convert it to a stored type"
        raise UnstorableError(path, f"tensors of type {tensor.dtype} cannot be stored; {advice}")
    return dtype


def _tensor(walk: Walk, tensor: torch.Tensor, path: str) -> None:
    layout = tensor.layout
    if layout is torch.sparse_coo or layout in _COMPRESSED:
        _sparse(walk, tensor, path)
    else:
        _hole(walk, tensor, path, int(Flag.REQUIRES_GRAD) if tensor.requires_grad else 0)


def _parameter(walk: Walk, tensor: torch.Tensor, path: str) -> None:
    layout = tensor.layout
    if layout is torch.sparse_coo or layout in _COMPRESSED:
        _sparse(walk, tensor, path, Tag.SPARSE_PARAMETER)
    else:
        _hole(walk, tensor, path, int(Flag.PARAMETER) | (int(Flag.REQUIRES_GRAD) if tensor.requires_grad else 0))


def _sparse(walk: Walk, tensor: torch.Tensor, path: str, tag: Tag = Tag.SPARSE_TENSOR) -> None:
    """A sparse tensor is its layout, its shape and its dense parts, each a leaf below its name."""
    layout, coalesced, parts = walk.census.once(tensor, _sparse_parts)
    flags = int(Flag.REQUIRES_GRAD) if tensor.requires_grad else 0
    shape = tuple(tensor.shape)
    twin = walk.census.twin(tensor, (tag, layout, flags, coalesced, shape, tuple(_place(part) for _, part in parts)))
    walk.enter(tensor, path)
    walk.atoms += (int(tag), flags | coalesced | twin << TWIN_SHIFT, layout, len(shape), *shape)
    for name, part in parts:
        walk.child(part, path, name)
    walk.leave(tensor)


def _place(part: torch.Tensor) -> Hashable:
    return part.data_ptr(), tuple(part.shape), part.stride(), part.dtype


def _sparse_parts(tensor: torch.Tensor) -> tuple[str, int, list[tuple[str, torch.Tensor]]]:
    """Layout, the coalesced flag, and the dense parts in the order in which they are stored."""
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        parts = [("indices", tensor._indices()), ("values", tensor._values())]
        return "sparse_coo", COALESCED if tensor.is_coalesced() else 0, parts
    layout, compressed, plain = _COMPRESSED[tensor.layout]
    names = (compressed, plain, "values")
    return layout, 0, [(name, getattr(tensor, name)()) for name in names]


def _size(walk: Walk, value: torch.Size, path: str) -> None:
    walk.atoms += (int(Tag.TORCH_SIZE), len(value), *value)


def _dtype(walk: Walk, value: torch.dtype, path: str) -> None:
    walk.atoms += (int(Tag.TORCH_DTYPE), str(value).removeprefix("torch."))


def _device(walk: Walk, value: torch.device, path: str) -> None:
    walk.atoms += (int(Tag.TORCH_DEVICE), str(value))


TORCH_WRITERS: dict[type, Writer] = {
    torch.Tensor: _tensor,
    torch.nn.Parameter: _parameter,
    torch.Size: _size,
    torch.dtype: _dtype,
    torch.device: _device,
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


def sparse_parts(tensor: torch.Tensor) -> list[tuple[str, torch.Tensor]] | None:
    """The dense parts of a live sparse tensor, by name, on its own memory; None for any other tensor."""
    if tensor.layout is torch.sparse_coo or tensor.layout in _COMPRESSED:
        return _sparse_parts(tensor)[2]
    return None


def settle_sparse(tensor: torch.Tensor) -> None:
    """After the indices of a live tensor were replaced: say anew whether they are sorted and unique."""
    if tensor.layout is torch.sparse_coo:
        with torch.no_grad():
            indices = tensor._indices()
            before, after = indices[:, :-1], indices[:, 1:]
            rising = torch.zeros(after.shape[1:], dtype=torch.bool, device=indices.device)
            for low, high in zip(before.flip(0), after.flip(0), strict=True):
                rising = (high > low) | ((high == low) & rising)
            tensor._coalesced_(bool(rising.all()))
