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
from deltackpt.skeleton.recapture import Memory, remember
from deltackpt.skeleton.strided_source import StridedSource
from deltackpt.skeleton.torch_tensors import LiveTensor
from deltackpt.training.buffer import Buffer
from deltackpt.training.job import JobPart, Row

ALIGNMENT = 64
# Copied as they are. Other types move as the integers of their bits: some have few kernels of their own.
_AS_THEY_ARE = frozenset({torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32})

_Move = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each tensor of a state lies in a buffer, and how many bytes that takes."""

    parts: tuple[JobPart, ...]
    nbytes: int

    def rows(self) -> list[Row]:
        return [row for part in self.parts for row in part.rows]


class Description:
    """What a state is made of, from one snapshot to the next: worked out anew only where it has changed."""

    def __init__(self) -> None:
        self._memory: Memory | None = None
        self._layout = Layout((), 0)

    def of(self, state: Any) -> tuple[Layout, Sequence[Any]]:
        """The layout of ``state``, and what is to be copied to each of its rows: a live tensor or a source.

        The rows of one layout are the same objects as long as nothing but values has changed.
        """
        again = None if self._memory is None else self._memory.again(state)
        if again is None:
            captured, self._memory = remember(state)
            self._layout = layout(captured)
            return self._layout, [tensor.source for part in captured.parts for tensor in part.tensors]
        pairs = zip(self._layout.parts, again.skeletons, strict=True)
        parts = tuple(JobPart(part.name, skeleton, part.rows) for part, skeleton in pairs)
        self._layout = Layout(parts, self._layout.nbytes)
        return self._layout, again.rows


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
    """A buffer as torch sees it. Its windows are kept from one snapshot to the next, while the rows are the same."""

    buffer: Buffer
    _whole: torch.Tensor = field(init=False)
    _parts: tuple[JobPart, ...] = field(init=False, default=())
    _windows: list[torch.Tensor | None] = field(init=False, default_factory=list)
    _pinned: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._whole = torch.frombuffer(self.buffer.view, dtype=torch.uint8)

    def windows(self, laid_out: Layout) -> list[torch.Tensor | None]:
        """For each row the place of its tensor, once that is known."""
        now, then = laid_out.parts, self._parts
        if len(now) != len(then) or any(a.rows is not b.rows for a, b in zip(now, then, strict=True)):
            self._windows = [None] * len(laid_out.rows())
        self._parts = now
        return self._windows

    def window(self, like: torch.Tensor, offset: int) -> torch.Tensor:
        """The place for a tensor of the type and shape of ``like``."""
        plain = self._whole.narrow(0, offset, like.numel() * like.itemsize)
        return plain.view(like.dtype).view(like.shape)

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


def copy(rows: Sequence[Any], laid_out: Layout, target: Target) -> Copied:
    """Copy each of ``rows`` to its place. What the training does next changes nothing in the snapshot any more."""
    windows = target.windows(laid_out)
    by_device: dict[torch.device, list[_Move]] = {}
    for at, (row, source) in enumerate(zip(laid_out.rows(), rows, strict=True)):
        live = _live(source)
        if live is None:
            nbytes = source.dtype.itemsize * prod(source.shape)
            target.buffer.view[row.offset : row.offset + nbytes] = source.read(0, nbytes)
            source.release()
            continue
        window = windows[at]
        if window is None or window.dtype is not live.dtype:
            window = windows[at] = target.window(live, row.offset)
        by_device.setdefault(live.device, []).append((live, window))
    events = [event for device, moves in by_device.items() if (event := _from_device(device, moves, target))]
    return Copied(tuple(events))


def _live(source: Any) -> torch.Tensor | None:
    """The tensor whose elements are to be copied, if it is one of torch."""
    if isinstance(source, torch.Tensor):
        return source if source.dtype in _AS_THEY_ARE else LiveTensor(source, tuple(source.shape)).bits()
    if isinstance(source, StridedSource) and isinstance(source.live, LiveTensor):
        return source.live.bits()
    return None


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
