"""One copy of a whole state into reused host memory: all that the training waits for.

Torch tensors are copied straight into the buffer, each once, whatever their device and strides. Copies from a CUDA
device run on a stream of their own into pinned memory; the device's current stream waits for them, the host does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch

from deltackpt.skeleton.capture import Captured, CapturedTensor
from deltackpt.skeleton.strided_source import StridedSource
from deltackpt.skeleton.torch_tensors import LiveTensor
from deltackpt.training.buffer import Buffer
from deltackpt.training.job import JobPart, Row

ALIGNMENT = 64
MAX_WINDOWS = 100_000

_Shape = tuple[torch.dtype, tuple[int, ...], int]
_Move = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each tensor of a state lies in a buffer, and how many bytes that takes."""

    parts: tuple[JobPart, ...]
    nbytes: int


def layout(captured: Captured) -> Layout:
    """Tensors one after another, each at an address that suits any element."""
    at = 0
    parts = []
    for part in captured.parts:
        rows = []
        for tensor in part.tensors:
            rows.append(Row(tensor.name, tensor.source.dtype.name, tensor.source.shape, at))
            at += -(-_nbytes(tensor) // ALIGNMENT) * ALIGNMENT
        parts.append(JobPart(part.name, part.skeleton, tuple(rows)))
    return Layout(tuple(parts), at)


def plain_bytes(captured: Captured) -> int:
    """Bytes of all tensors."""
    return sum(_nbytes(tensor) for part in captured.parts for tensor in part.tensors)


@dataclass(slots=True)
class Target:
    """A buffer as torch sees it. Its windows are kept from one snapshot to the next, while the layout is the same."""

    buffer: Buffer
    _whole: torch.Tensor = field(init=False)
    _windows: dict[_Shape, torch.Tensor] = field(init=False, default_factory=dict)
    _pinned: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._whole = torch.frombuffer(self.buffer.view, dtype=torch.uint8)

    def window(self, like: torch.Tensor, offset: int) -> torch.Tensor:
        """The place for a tensor of the type and shape of ``like``."""
        key = (like.dtype, tuple(like.shape), offset)
        found = self._windows.get(key)
        if found is None:
            if len(self._windows) > MAX_WINDOWS:
                self._windows.clear()
            plain = self._whole.narrow(0, offset, like.numel() * like.itemsize)
            found = self._windows[key] = plain.view(like.dtype).view(like.shape)
        return found

    def pin(self) -> None:
        """Let a CUDA device write here by itself; it goes on without that where it is refused."""
        if not self._pinned:
            torch.cuda.cudart().cudaHostRegister(self._whole.data_ptr(), self.buffer.size, 0)  # type: ignore[no-untyped-call]
            self._pinned = True

    def unpin(self) -> None:
        if self._pinned:
            torch.cuda.cudart().cudaHostUnregister(self._whole.data_ptr())  # type: ignore[no-untyped-call]
            self._pinned = False


@dataclass(frozen=True, slots=True)
class Copied:
    """A snapshot that is complete once all ``events`` of devices have passed."""

    events: tuple[Any, ...] = ()

    @property
    def complete(self) -> bool:
        return all(event.query() for event in self.events)

    def wait(self) -> None:
        for event in self.events:
            event.synchronize()


def copy(captured: Captured, laid_out: Layout, target: Target) -> Copied:
    """Copy every tensor to its place. What the training does next changes nothing in the snapshot any more."""
    tensors = [tensor for part in captured.parts for tensor in part.tensors]
    rows = [row for part in laid_out.parts for row in part.rows]
    by_device: dict[torch.device, list[_Move]] = {}
    for tensor, row in zip(tensors, rows, strict=True):
        source = tensor.source
        if isinstance(source, StridedSource) and isinstance(source.live, LiveTensor):
            bits = source.live.bits()
            by_device.setdefault(bits.device, []).append((bits, target.window(bits, row.offset)))
        else:
            nbytes = _nbytes(tensor)
            target.buffer.view[row.offset : row.offset + nbytes] = source.read(0, nbytes)
            source.release()
    events = [event for device, moves in by_device.items() if (event := _from_device(device, moves, target))]
    return Copied(tuple(events))


def _from_device(device: torch.device, moves: Sequence[_Move], target: Target) -> Any:
    if device.type != "cuda":
        _copy(moves, non_blocking=False)
        return None
    target.pin()
    current = torch.cuda.current_stream(device)
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    aside.wait_stream(current)
    with torch.cuda.stream(aside):
        _copy(moves, non_blocking=True)
        event = aside.record_event()
    # The optimizer's next step, on the current stream, comes after the copy.
    current.wait_event(event)
    return event


def _copy(moves: Sequence[_Move], *, non_blocking: bool) -> None:
    sources, places = zip(*moves, strict=True)
    with torch.no_grad():
        torch._foreach_copy_(places, sources, non_blocking=non_blocking)


def _nbytes(tensor: CapturedTensor) -> int:
    return tensor.source.dtype.itemsize * prod(tensor.source.shape)
