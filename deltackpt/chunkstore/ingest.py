"""Chunks on their way into a transaction: hashed, looked up and encoded on all cores, appended in order.

Work is handed to an executor a bounded number of chunks ahead, so memory stays at a few chunks for each
thread whatever the size of the state. Results are taken in the order of submission, which is the order in
packs. Small chunks are gathered into bundles, one for each element type and kind.
"""

from __future__ import annotations

from collections import ChainMap, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from deltackpt.chunking.cuts import Cuts
from deltackpt.chunkstore.encoder import ChunkEncoder, Hint, WideChunk
from deltackpt.chunkstore.pack_writer import Payload
from deltackpt.chunkstore.reader import ChunkReader, Locations
from deltackpt.chunkstore.record import BUNDLED_BELOW, MAX_MEMBERS, Kind, RecordHead
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.ids import ChunkId
from deltackpt.tensor.dtype import DType, dtype_named
from deltackpt.tensor.finite import Finiteness, finiteness
from deltackpt.tensor.source import TensorSource

BUNDLE_BYTES = 512 << 10
BYTES = dtype_named("uint8")

Record = tuple[RecordHead, Payload]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A chunk that is hashed; ``record`` is None when the store has it already."""

    chunk: ChunkId
    finiteness: Finiteness
    record: Record | None


@dataclass(slots=True)
class IngestedTensor:
    """A tensor's chunks and their lengths, complete once :meth:`Ingest.finish` has returned."""

    chunks: list[ChunkId] = field(default_factory=list)
    finiteness: Finiteness = Finiteness.FINITE
    lengths: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wide:
    """A float32 tensor of which another may be the rounded copy, cut at the same elements.

    ``source`` is that of a tensor that has been taken in; None for one that the store has.
    """

    source: TensorSource | None
    chunks: Sequence[ChunkId]


@dataclass(frozen=True, slots=True)
class _Place:
    """A chunk's range of its tensor, and the chunks at the same place in the parent commit and in a wide tensor."""

    source: TensorSource
    start: int
    stop: int
    hint: Hint
    wide: WideChunk | None


@dataclass(frozen=True, slots=True)
class _Small:
    """A small chunk that waits for others; ``tensor`` is told how finite it is."""

    chunk: ChunkId
    plain: bytes
    hint: Hint
    tensor: IngestedTensor | None


@dataclass(slots=True)
class _Bundle:
    """Small chunks of one element type and kind that wait to be encoded together."""

    members: list[_Small] = field(default_factory=list)
    size: int = 0

    def add(self, small: _Small) -> bool:
        """Take a chunk in; True when the bundle is full."""
        self.members.append(small)
        self.size += len(small.plain)
        return self.size >= BUNDLE_BYTES or len(self.members) >= MAX_MEMBERS

    def judge(self, dtype: DType) -> None:
        """Tell each tensor how finite it is. All are looked at together: mostly there is nothing to tell."""
        if finiteness(memoryview(b"".join(small.plain for small in self.members)), dtype) is Finiteness.FINITE:
            return
        for small in self.members:
            if small.tensor is not None:
                small.tensor.finiteness = finiteness(memoryview(small.plain), dtype)


class Ingest:
    """Feeds one transaction. Methods are for one thread; the work runs on ``executor``, ``ahead`` chunks at most.

    ``known`` are the locations of hints and of what they stand on. A hint without one is lost: a chunk that equals it
    is stored anew, which heals the store.

    A context manager: when the block fails, nothing reads the caller's tensors any more once it is left.
    """

    def __init__(
        self,
        transaction: Transaction,
        reader: ChunkReader,
        encoder: ChunkEncoder,
        executor: Executor,
        ahead: int,
        known: Locations,
    ) -> None:
        self._transaction = transaction
        self._reader = reader
        self._encoder = encoder
        self._executor = executor
        self._ahead = ahead
        self._known = known
        self._running: deque[tuple[Future[_Outcome], IngestedTensor, Sequence[TensorSource]]] = deque()
        self._encoding: deque[Future[Record]] = deque()
        self._bundled: set[ChunkId] = set()
        self._bundles: dict[tuple[DType, Kind], _Bundle] = {}
        self._doubting = False

    def doubt(self) -> None:
        """From now on rely on no chunk of the store without reading it: some of it is known to be damaged."""
        self._doubting = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        jobs: list[Future[Any]] = [*(job for job, _, _ in self._running), *self._encoding]
        for job in jobs:
            job.cancel()
        wait(jobs)

    def tensor(
        self,
        source: TensorSource,
        nbytes: int,
        cuts: Cuts,
        hints: Sequence[Hint],
        wide: Wide | None = None,
        *,
        suspect: bool = False,
    ) -> IngestedTensor:
        """Take in all chunks of a tensor. ``hints`` are the chunks at the same places in the parent commit, if any.

        ``wide``, which :meth:`settle` must have seen to the end, is what the tensor may be a rounded copy of.
        ``suspect`` says that the parent's tensor was not finite, so chunks that did not change are looked at too.
        """
        result = IngestedTensor()
        if nbytes < BUNDLED_BELOW:
            self._small(source, nbytes, hints[0] if hints else None, result)
            return result
        # Cuts that depend on the content are found as the chunks before them are worked on.
        spans = cuts.spans(nbytes) if wide is None else list(cuts.spans(nbytes))
        sources = [source] if wide is None or wide.source is None else [source, wide.source]
        for number, (start, stop) in enumerate(spans):
            hint = hints[number] if number < len(hints) else None
            place = _Place(source, start, stop, hint, self._wide_chunk(wide, number, spans))
            job = self._executor.submit(self._chunk, place, suspect)
            finished = sources if stop == nbytes else []
            result.lengths.append(stop - start)
            self._running.append((job, result, finished))
            self._drain(self._ahead)
        return result

    def _wide_chunk(self, wide: Wide | None, number: int, spans: Iterable[tuple[int, int]]) -> WideChunk | None:
        if wide is None or not isinstance(spans, list) or len(wide.chunks) != len(spans):
            return None
        chunk = wide.chunks[number]
        if wide.source is None and not self._transaction.is_there(chunk, self._known):
            return None
        return WideChunk(chunk, wide.source, self._transaction.pending(chunk))

    def settle(self) -> None:
        """Wait for every chunk of the tensors handed in so far."""
        self._drain(0)

    def object(self, data: bytes) -> ChunkId:
        """Take in a manifest object: named, deduplicated and bundled like a small chunk."""
        chunk = ChunkId.of(data)
        self._gather(_Small(chunk, data, None, None), BYTES, Kind.OBJECT)
        return chunk

    def finish(self) -> None:
        """Wait for everything handed in so far; its records are in the transaction then."""
        self.settle()
        for key in list(self._bundles):
            self._submit_bundle(*key)
        self._drain_bundles(0)

    def _chunk(self, place: _Place, suspect: bool) -> _Outcome:
        plain = place.source.read(place.start, place.stop)
        dtype, hint = place.source.dtype, place.hint
        chunk = ChunkId.of(plain)
        if chunk == hint and self._transaction.is_there(hint, self._known):
            if not self._reader.cache.keep(chunk):
                self._reader.cache.put(chunk, plain, None)
            return _Outcome(chunk, finiteness(plain, dtype) if suspect else Finiteness.FINITE, None)
        state = finiteness(plain, dtype)
        known = ChainMap(self._reader.locate([chunk]), self._known)
        if self._transaction.contains(chunk) or self._is_there(chunk, known):
            record = None
        elif chunk in known or self._transaction.is_lost(chunk):
            self._transaction.supersede(chunk)
            record = self._encoder.encode(chunk, plain, dtype.element, None, known)
        else:
            wide = None if place.wide is None else place.wide.read(place.start, place.stop, known, self._reader)
            record = self._encoder.encode(chunk, plain, dtype.element, self._usable(hint, known), known, wide)
        self._reader.cache.put(chunk, plain, hint)
        return _Outcome(chunk, state, record)

    def _is_there(self, chunk: ChunkId, known: Locations) -> bool:
        """Whether the store has the chunk, so that it can be relied on."""
        if not self._transaction.is_there(chunk, known):
            return False
        return not self._doubting or self._reader.can_read(chunk, known)

    def _usable(self, hint: Hint, known: Locations) -> Hint:
        """``hint``, unless it has been lost."""
        return hint if hint is not None and self._transaction.is_there(hint, known) else None

    def _drain(self, ahead: int) -> None:
        """Append results in order until at most ``ahead`` chunks are under way."""
        while len(self._running) > ahead:
            job, result, finished = self._running.popleft()
            outcome = job.result()
            result.chunks.append(outcome.chunk)
            result.finiteness = max(result.finiteness, outcome.finiteness)
            self._append(outcome.chunk, outcome.record)
            for source in finished:
                source.release()

    def _append(self, chunk: ChunkId, record: Record | None) -> None:
        if record is None:
            self._transaction.refer([chunk])
        elif not self._transaction.contains(chunk) and chunk not in self._bundled:
            self._transaction.put(*record)

    def _small(self, source: TensorSource, nbytes: int, hint: Hint, result: IngestedTensor) -> None:
        plain = bytes(source.read(0, nbytes))
        source.release()
        chunk = ChunkId.of(plain)
        result.chunks.append(chunk)
        self._gather(_Small(chunk, plain, hint, result), source.dtype, Kind.DATA)

    def _gather(self, small: _Small, dtype: DType, kind: Kind) -> None:
        if self._bundles.setdefault((dtype, kind), _Bundle()).add(small):
            self._submit_bundle(dtype, kind)

    def _submit_bundle(self, dtype: DType, kind: Kind) -> None:
        """Encode what the store and this transaction lack of a bundle: both are asked for all of it at once."""
        bundle = self._bundles.pop((dtype, kind))
        bundle.judge(dtype)
        changed = [
            s for s in bundle.members if s.chunk != s.hint or not self._transaction.is_there(s.chunk, self._known)
        ]
        known = ChainMap(self._reader.locate(small.chunk for small in changed), self._known)
        there = {small.chunk for small in changed if self._is_there(small.chunk, known)}
        done = {s.chunk for s in changed if s.chunk in self._bundled or self._transaction.contains(s.chunk)}
        fresh = {s.chunk: s for s in changed if s.chunk not in there and s.chunk not in done}
        self._transaction.refer(s.chunk for s in bundle.members if s.chunk in known and s.chunk not in fresh)
        self._bundled.update(fresh)
        again = {chunk for chunk in fresh if chunk in known or self._transaction.is_lost(chunk)}
        for chunk in again:
            self._transaction.supersede(chunk)
        if fresh:
            members = [(small.chunk, small.plain) for small in fresh.values()]
            hinted = [None if s.chunk in again else self._usable(s.hint, known) for s in fresh.values()]
            self._encoding.append(
                self._executor.submit(self._encoder.encode_bundle, members, dtype.element, hinted, known, kind)
            )
            self._drain_bundles(self._ahead)

    def _drain_bundles(self, ahead: int) -> None:
        while len(self._encoding) > ahead:
            self._transaction.put(*self._encoding.popleft().result())
