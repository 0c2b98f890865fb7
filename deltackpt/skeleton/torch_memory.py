"""A CPU tensor's memory as a Python buffer.

``Tensor.numpy()`` would do, but it marks the storage as not resizable for ever, and code that frees and
regrows storages (sharded training does) would then fail in the middle of a run.
"""

from __future__ import annotations

import ctypes

import torch


def buffer_of(tensor: torch.Tensor) -> memoryview:
    """Writable bytes of a contiguous CPU tensor; the buffer keeps the tensor alive."""
    nbytes = tensor.numel() * tensor.itemsize
    if nbytes == 0:
        return memoryview(bytearray())
    memory = (ctypes.c_ubyte * nbytes).from_address(tensor.data_ptr())
    memory.owner = tensor  # type: ignore[attr-defined]
    return memoryview(memory).cast("B")
