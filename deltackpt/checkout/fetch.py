"""Decoding tensors' chunks on all cores, a bounded number ahead, straight to where they are wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from deltackpt.chunkstore.reader import Lent, Locations
from deltackpt.chunkstore.scratch import scratch
from deltackpt.codec.recipes import Recipe
from deltackpt.errors import CorruptError, NotFoundError
from deltackpt.fs.disk import Buffer
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId

LOCATED_AT_ONCE = 1024

# Slots that neither a walk along a chain nor an encoder uses: for a chunk, and for its rounded copy beside it.
FILE_SLOT = -2
COPY_SLOT = -3

Progress = Callable[[int], None]


class Sink(Protocol):
    """Where a tensor's plain bytes go. Called from several threads, each with its own range."""

    def buffer(self, start: int, stop: int, slot: int) -> memoryview:
        """Room for plain bytes ``start`` to ``stop``, in scratch ``slot`` if need be; holds anything until ``done``."""
        ...

    def done(self, start: int, plain: memoryview) -> None:
        """``plain``, from ``buffer``, holds the verified bytes from ``start`` on."""
        ...


@dataclass(frozen=True, slots=True)
class IntoMemory:
    """Straight into the memory of the tensor being restored."""

    memory: memoryview

    def buffer(self, start: int, stop: int, slot: int) -> memoryview:
        return self.memory[start:stop]

    def done(self, start: int, plain: memoryview) -> None:
        """The bytes are where they belong."""


class Writable(Protocol):
    """A file that is being written, from several threads."""

    def write_at(self, offset: int, data: Buffer) -> None: ...


@dataclass(frozen=True, slots=True)
class IntoFile:
    """Into a file at ``offset``, by way of one reused buffer for each thread."""

    file: Writable
    offset: int

    def buffer(self, start: int, stop: int, slot: int) -> memoryview:
        return scratch(slot, stop - start)

    def done(self, start: int, plain: memoryview) -> None:
        self.file.write_at(self.offset + start, plain)


@dataclass(frozen=True, slots=True)
class _Step:
    """One chunk of one tensor on its way to a sink. ``copies`` are kept as casts of it, so they go the same way."""

    tensor: StoredTensor
    sink: Sink
    chunk: ChunkId
    start: int
    stop: int
    copies: list[_Step] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Plain bytes of the chunk and its copies."""
        return self.stop - self.start + sum(copy.size for copy in self.copies)

    def run(self, repository: Repository, known: Locations) -> None:
        plain = self._bring(repository, known, {}, FILE_SLOT)
        for copy in self.copies:
            copy._bring(repository, known, {self.chunk: plain}, COPY_SLOT)

    def _bring(self, repository: Repository, known: Locations, lent: Lent, slot: int) -> memoryview:
        buffer = self.sink.buffer(self.start, self.stop, slot)
        try:
            repository.reader.read_into(self.chunk, buffer, known, lent)
        except (CorruptError, NotFoundError) as error:
            raise type(error)(f"tensor {self.tensor.name!r}: {error}") from error
        self.sink.done(self.start, buffer)
        return buffer


def fetch(
    repository: Repository, wanted: Iterable[tuple[StoredTensor, Sink]], progress: Progress | None = None
) -> None:
    """Bring each tensor's plain bytes to its sink. Every chunk is hashed before its sink hears ``done``.

    CorruptError or NotFoundError names the tensor that cannot be had. ``progress`` hears of bytes as they are done.
    """
    steps = _steps(wanted)
    running: deque[tuple[Future[None], int]] = deque()
    try:
        while batch := list(islice(steps, LOCATED_AT_ONCE)):
            known = repository.reader.locate(step.chunk for step in batch)
            for step in _with_copies(batch, known):
                running.append((repository.executor.submit(step.run, repository, known), step.size))
                _drain(running, repository.ahead, progress)
        _drain(running, 0, progress)
    finally:
        for future, _ in running:
            future.cancel()
        wait([future for future, _ in running])


def _steps(wanted: Iterable[tuple[StoredTensor, Sink]]) -> Iterator[_Step]:
    for tensor, sink in wanted:
        if tensor.inline is not None:
            buffer = sink.buffer(0, tensor.nbytes, FILE_SLOT)
            buffer[:] = tensor.inline
            sink.done(0, buffer)
        for chunk, start, stop in tensor.spans():
            yield _Step(tensor, sink, chunk, start, stop)


def _with_copies(batch: Sequence[_Step], known: Locations) -> Iterator[_Step]:
    """The steps to run: a chunk that is a cast of another in the batch goes with that one, whose decoding it needs."""
    first = {step.chunk: step for step in reversed(batch)}
    alone: list[_Step] = []
    for step in batch:
        place = known.get(step.chunk)
        wide = None
        if place is not None and place.base is not None and place.recipe == Recipe.CAST:
            wide = first.get(place.base)
        (alone if wide is None else wide.copies).append(step)
    return iter(alone)


def _drain(running: deque[tuple[Future[None], int]], ahead: int, progress: Progress | None) -> None:
    while len(running) > ahead:
        future, size = running.popleft()
        future.result()
        if progress is not None:
            progress(size)
