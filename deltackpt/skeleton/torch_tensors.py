"""PyTorch's side of a capture: how tensors are described, refused, and read.

Imported only when the program has imported torch itself.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable

import torch

from deltackpt.skeleton.holes import Hole
from deltackpt.skeleton.refusal import UnstorableError
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

_COMPRESSED = {
    torch.sparse_csr: ("sparse_csr", "crow_indices", "col_indices"),
    torch.sparse_csc: ("sparse_csc", "ccol_indices", "row_indices"),
    torch.sparse_bsr: ("sparse_bsr", "crow_indices", "col_indices"),
    torch.sparse_bsc: ("sparse_bsc", "ccol_indices", "row_indices"),
}


class TorchSource:
    """Plain bytes of a tensor on any device: its own memory when that is contiguous on the CPU, else one copy."""

    __slots__ = ("_lock", "_plain", "_tensor", "dtype", "shape")

    def __init__(self, tensor: torch.Tensor, view: View) -> None:
        self._tensor = tensor
        self._lock = threading.Lock()
        self._plain: memoryview | None = None
        self.dtype = view.dtype
        self.shape = view.shape

    def read(self, start: int, stop: int) -> memoryview:
        plain = self._plain
        if plain is None:
            with self._lock:
                plain = self._plain = self._plain or plain_bytes(self._tensor, self.shape)
        return plain[start:stop]

    def release(self) -> None:
        self._plain = None

    @property
    def device(self) -> torch.device:
        return self._tensor.device

    @property
    def bits(self) -> torch.Tensor:
        """The live tensor whose elements, in row-major order, are the plain bytes; for whoever copies them itself."""
        return bits_of(self._tensor, self.shape)


def plain_bytes(tensor: torch.Tensor, shape: tuple[int, ...]) -> memoryview:
    """C-order bytes of ``tensor``, whose expanded dimensions are cut down to ``shape``."""
    return buffer_of(bits_of(tensor, shape).cpu().contiguous()).toreadonly()


def bits_of(tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """``tensor`` as integers of the width of its elements, its expanded dimensions cut down to ``shape``."""
    tensor = tensor.detach()
    if tensor.shape != shape:
        tensor = tensor[tuple(slice(extent) for extent in shape)]
    tensor = tensor.resolve_conj().resolve_neg()
    bits = _BITS.get(tensor.itemsize)
    return tensor if bits is None else tensor.view(bits)


def _open(tensor: torch.Tensor, view: View) -> TorchSource:
    return TorchSource(tensor, view)


def _describe(tensor: torch.Tensor, dtype: DType, path: str) -> tuple[View, Hashable]:
    """The tensor's window on its storage, and what stands for that storage."""
    shape: tuple[int, ...] = tuple(tensor.shape)
    if 0 in shape:
        return View(dtype, shape), ("empty", id(tensor))
    if tensor.is_conj() or tensor.is_neg():
        return View(dtype, shape), ("resolved", id(tensor))
    storage = tensor.untyped_storage()
    address = storage.data_ptr()
    if not address and not storage.nbytes():
        raise UnstorableError(path, "the tensor's storage has been freed; gather or reload it before committing")
    size = dtype.itemsize
    strides: tuple[int, ...] | None = tuple([step * size for step in tensor.stride()])
    if strides == row_major(shape, size):
        strides = None
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
        advice = "pass int_repr() with its scales" if tensor.is_quantized else "convert it to a stored type"
        raise UnstorableError(path, f"tensors of type {tensor.dtype} cannot be stored; {advice}")
    return dtype


def _tensor(walk: Walk, tensor: torch.Tensor, path: str) -> None:
    layout = tensor.layout
    if layout is torch.sparse_coo or layout in _COMPRESSED:
        _sparse(walk, tensor, path)
    else:
        _hole(walk, tensor, path, int(Flag.REQUIRES_GRAD) if tensor.requires_grad else 0)


def _parameter(walk: Walk, tensor: torch.Tensor, path: str) -> None:
    if tensor.layout is not torch.strided:
        raise UnstorableError(path, "sparse parameters cannot be stored; pass its .data")
    _hole(walk, tensor, path, int(Flag.PARAMETER) | (int(Flag.REQUIRES_GRAD) if tensor.requires_grad else 0))


def _sparse(walk: Walk, tensor: torch.Tensor, path: str) -> None:
    """A sparse tensor is its layout, its shape and its dense parts, each a leaf below its name."""
    layout, coalesced, parts = walk.census.once(tensor, _sparse_parts)
    flags = int(Flag.REQUIRES_GRAD) if tensor.requires_grad else 0
    shape = tuple(tensor.shape)
    twin = walk.census.twin(tensor, (layout, flags, coalesced, shape, tuple(_place(part) for _, part in parts)))
    walk.enter(tensor, path)
    walk.atoms += (int(Tag.SPARSE_TENSOR), flags | coalesced | twin << TWIN_SHIFT, layout, len(shape), *shape)
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


def overwrite(tensor: torch.Tensor, plain: memoryview | bytes) -> None:
    """Replace the values of a live tensor with C-order bytes, on its device and with its strides."""
    if not tensor.numel():
        return
    flat = torch.frombuffer(bytearray(plain), dtype=torch.uint8)
    with torch.no_grad():
        tensor.detach().copy_(flat.view(tensor.dtype).view(tensor.shape))
