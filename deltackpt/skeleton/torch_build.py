"""PyTorch's side of a restoration. Imported only when a skeleton holds something of PyTorch's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from deltackpt.errors import FormatError, InvalidInputError, UnsupportedError, brief
from deltackpt.skeleton.nodes import QuantizedTensor, SparseTensor, TorchDevice, TorchDtype, TorchTensor
from deltackpt.skeleton.tags import COALESCED, Flag
from deltackpt.skeleton.torch_memory import buffer_of
from deltackpt.skeleton.torch_quantized import put_together
from deltackpt.skeleton.view import View

Device = torch.device | str | int | None


def allocate(nbytes: int, *, zeroed: bool) -> tuple[torch.Tensor, memoryview]:
    """Bytes on the CPU, as a tensor and as a buffer on the same memory; MemoryError when there are not as many."""
    make = torch.zeros if zeroed else torch.empty
    try:
        handle = make(nbytes, dtype=torch.uint8, device="cpu")
    except RuntimeError as error:
        raise MemoryError(f"no memory for a storage of {nbytes} bytes") from error
    return handle, buffer_of(handle)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Beta warnings of sparse and half-complex tensors were given when the originals were made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def tensor(node: TorchTensor, handle: torch.Tensor, view: View) -> torch.Tensor:
    """The leaf that ``view`` cuts out of the block ``handle``, on the block's device."""
    made = strided(handle, view)
    grad = bool(node.flags & Flag.REQUIRES_GRAD)
    try:
        if node.flags & Flag.PARAMETER:
            return torch.nn.Parameter(made, requires_grad=grad)
        return made.requires_grad_(grad)
    except RuntimeError as error:
        raise FormatError(f"skeleton: a tensor of {view.dtype} that requires a gradient ({error})") from error


def strided(handle: torch.Tensor, view: View) -> torch.Tensor:
    size = view.dtype.itemsize
    if view.offset % size or any(step % size or step < 0 for step in view.steps):
        raise FormatError(f"skeleton: strides {view.steps} at byte {view.offset} do not fit elements of {size} bytes")
    empty = torch.empty(0, dtype=dtype_named(view.dtype.name), device=handle.device)
    steps = tuple(step // size for step in view.steps)
    try:
        return empty.set_(handle.untyped_storage(), view.offset // size, view.shape, steps)
    except RuntimeError as error:
        raise FormatError(f"skeleton: a tensor that torch refuses: {error}") from error


def sparse(node: SparseTensor, parts: list[torch.Tensor]) -> torch.Tensor:
    """A sparse tensor over its dense parts; their consistency is checked, since kernels trust it."""
    with without_warnings():
        try:
            made = _coo(node, parts) if node.layout == "sparse_coo" else _compressed(node, parts)
            grad = bool(node.flags & Flag.REQUIRES_GRAD)
            return torch.nn.Parameter(made, requires_grad=grad) if node.parameter else made.requires_grad_(grad)
        except (RuntimeError, ValueError, IndexError) as error:
            raise FormatError(f"skeleton: a sparse tensor that torch refuses: {error}") from error


def _coo(node: SparseTensor, parts: list[torch.Tensor]) -> torch.Tensor:
    indices, values = parts
    coalesced = bool(node.flags & COALESCED)
    return torch.sparse_coo_tensor(indices, values, node.shape, check_invariants=True, is_coalesced=coalesced)


def _compressed(node: SparseTensor, parts: list[torch.Tensor]) -> torch.Tensor:
    compressed, plain, values = parts
    return torch.sparse_compressed_tensor(
        compressed, plain, values, node.shape, layout=getattr(torch, node.layout), check_invariants=True
    )


def quantized(node: QuantizedTensor, parts: list[torch.Tensor]) -> torch.Tensor:
    """A quantised tensor on the memory of its dense parts."""
    with without_warnings():
        try:
            made = put_together(node, dtype_named(node.dtype), parts)
            return torch.nn.Parameter(made, requires_grad=False) if node.flags & Flag.PARAMETER else made
        except (RuntimeError, ValueError) as error:
            raise FormatError(f"skeleton: a quantised tensor that torch refuses: {error}") from error


def dtype_named(name: str) -> torch.dtype:
    """PyTorch's type of that name; UnsupportedError when this PyTorch does not have it."""
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise UnsupportedError(f"torch {torch.__version__} has no element type {name!r}; upgrade torch")
    return found


def device_named(name: str) -> torch.device:
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise UnsupportedError(f"torch {torch.__version__} has no device {name!r}; upgrade torch") from error


def check_device(device: Device) -> None:
    """InvalidInputError unless tensors can be put on ``device`` here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise InvalidInputError(
            f"device {device!r} cannot be used: {brief(str(error))}; leave it out for the CPU"
        ) from None


def constant(node: TorchDtype | TorchDevice) -> torch.dtype | torch.device:
    return dtype_named(node.name) if isinstance(node, TorchDtype) else device_named(node.name)
