"""Progress of a commit, heard at the one place that every byte passes: where tensors are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from deltackpt.content.content import Content
from deltackpt.skeleton.capture import CapturedTensor
from deltackpt.tensor.dtype import DType
from deltackpt.tensor.source import TensorSource

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class WatchedSource:
    """A source that tells ``progress`` of every plain byte read from it, from whichever thread reads."""

    source: TensorSource
    progress: Progress

    @property
    def dtype(self) -> DType:
        return self.source.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    def read(self, start: int, stop: int) -> memoryview:
        plain = self.source.read(start, stop)
        self.progress(stop - start)
        return plain

    def release(self) -> None:
        self.source.release()


def watched(content: Content, progress: Progress | None) -> Content:
    """``content`` with its sources watched; as it is when nobody listens."""
    if progress is None:
        return content
    parts = (
        replace(part, tensors=tuple(CapturedTensor(t.name, WatchedSource(t.source, progress)) for t in part.tensors))
        for part in content.parts
    )
    return replace(content, parts=tuple(parts))


def unwatched(source: TensorSource) -> TensorSource:
    """What ``source`` reads from: for a look at bytes that will be read again, which is no progress."""
    return source.source if isinstance(source, WatchedSource) else source
