"""Write first, then publish: records gathered here are invisible until one log record names them."""

from __future__ import annotations

import os
import socket
import time
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from deltackpt.chunkstore.chunk_store import ChunkStore, Entries
from deltackpt.chunkstore.location import inline_record
from deltackpt.chunkstore.log import UnknownOutcomeError
from deltackpt.chunkstore.log_record import Annotation, CommitAdded, LogRecord, PackAdded, Piece, Position, RefMove
from deltackpt.chunkstore.pack_writer import FinishedPack, PackWriter, Payload
from deltackpt.chunkstore.reader import ChunkNotFoundError, ChunkReader, Locations
from deltackpt.chunkstore.record import MAX_RECORD_BYTES, RecordHead, seal
from deltackpt.chunkstore.view import View
from deltackpt.errors import LimitError, LockedError, StorageError
from deltackpt.fs.disk import ReadOnlyError
from deltackpt.ids import ChunkId, CommitId, PackId

INLINE_LIMIT = 256 << 10
_MAX_RACES = 1000


class StaleTransactionError(Exception):
    """A gc took away what this transaction stands on. Start over: the bytes are still at hand."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to publish, given the store as it is at this record: ref moves and commit objects; or what a gc takes away.

    LogRecord says what each of the deletions means.
    """

    operation: str
    refs: tuple[RefMove, ...] = ()
    commits: tuple[bytes, ...] = ()
    condemned: tuple[PackId, ...] = ()
    gone: tuple[PackId, ...] = ()
    orphans: tuple[PackId, ...] = ()
    forgotten: tuple[ChunkId, ...] = ()
    quarantined: tuple[PackId, ...] = ()
    lost: tuple[ChunkId, ...] = ()
    dropped: tuple[CommitId, ...] = ()
    deleted: tuple[Piece, ...] = ()
    undeleted: tuple[Piece, ...] = ()
    purged: tuple[Piece, ...] = ()
    sealed: bytes = b""
    annotated: tuple[Annotation, ...] = ()


class Transaction:
    """New records on their way into the store. A context manager: leaving it unpublished abandons them.

    Records up to ``inline_limit`` bytes in all travel inside the log record; beyond that they go to packs.
    With ``copying`` they are copies of what the store has: what they are deltas against may be declared lost.
    One whose records were ``planned`` before it was made looks at all that they stand on once more.
    ``put`` and ``publish`` are for one thread; the others may be called from any.
    """

    def __init__(
        self,
        store: ChunkStore,
        reader: ChunkReader,
        inline_limit: int = INLINE_LIMIT,
        *,
        copying: bool = False,
        planned: bool = False,
    ) -> None:
        if not store.writable:
            raise ReadOnlyError(f"{store.layout.root!r} cannot be written; reading the store still works")
        self._store = store
        self._reader = reader
        self._copying = copying
        deletions, self._lost = store.look_now(lambda view: (view.deletions, view.lost()))
        self._deletions = None if planned else deletions
        self._writer: PackWriter | None = None
        self._inline: list[tuple[RecordHead, Payload]] = []
        self._inline_size = 0
        self._inline_limit = inline_limit
        self._new: dict[ChunkId, RecordHead] = {}
        self._bases: dict[ChunkId, int] = {}
        self._referred: set[ChunkId] = set()
        self._missing: dict[PackId, bool] = {}
        self._superseded: set[ChunkId] = set()
        self._finished: list[FinishedPack] | None = None
        self._maybe_published = False
        # What one attempt to publish has found and the next, made when another writer was first, may rely on: a gc with
        # many copies would otherwise never be first.
        self._found_at = -1
        self._packs: dict[ChunkId, PackId] = {}
        self._below: set[ChunkId] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None and not self._maybe_published:
            self._writer.abandon()

    def contains(self, chunk: ChunkId) -> bool:
        """Whether this transaction already holds a record with the chunk."""
        return chunk in self._new

    def pending(self, chunk: ChunkId) -> RecordHead | None:
        """The record of this transaction that holds the chunk, if there is one."""
        return self._new.get(chunk)

    def is_there(self, chunk: ChunkId, known: Locations) -> bool:
        """Whether the store has the chunk, with the files of its whole chain."""
        pending = [chunk]
        while pending:
            current = pending.pop()
            place = known.get(current)
            if place is None or self._is_missing(place.pack):
                return False
            if not self._lost:
                pending += [place.base] if place.base is not None else []
            elif place.rank:
                # One lost base is enough for a whole bundle to be unreadable.
                bases = self._reader.bases(current, place)
                known = ChainMap(self._reader.locate(bases), known)
                pending += bases
        return True

    def is_lost(self, chunk: ChunkId) -> bool:
        """Whether the chunk was declared lost. A copy must be whole then: what stands on it may have any rank."""
        return chunk in self._lost

    def supersede(self, chunk: ChunkId) -> None:
        """The copy of a chunk that comes with this transaction takes over from the one that the store has.

        Its rank must be lower than that of whatever stands on it.
        """
        self._superseded.add(chunk)

    @property
    def superseded(self) -> Mapping[ChunkId, RecordHead]:
        """The records here that take over, by their chunks."""
        return {chunk: self._new[chunk] for chunk in self._superseded}

    def refer(self, chunks: Iterable[ChunkId]) -> None:
        """Rely on chunks that the store has already; publishing checks that they are still there."""
        self._referred.update(chunks)

    def put(self, head: RecordHead, payload: Payload) -> None:
        """Add a record. Its bases must be in the store or in this transaction. LimitError when it is too large.

        Of several that hold a chunk the last is used: so it is where they take over, and others bring a chunk once.
        """
        if head.stored_length > MAX_RECORD_BYTES:
            raise LimitError(f"a record of {head.stored_length} bytes is more than the {MAX_RECORD_BYTES} allowed")
        self._referred.update(base for base in head.bases if base not in self._new)
        for base in head.bases:
            self._bases[base] = min(head.rank, self._bases.get(base, head.rank))
        for member in head.members:
            self._new[member.id] = head
        if self._writer is not None:
            self._writer.append(head, payload)
            return
        self._inline.append((head, [bytes(piece) for piece in payload]))
        self._inline_size += head.stored_length
        if self._inline_size > self._inline_limit:
            self._move_to_pack()

    def publish(self, decide: Callable[[View], Decision]) -> LogRecord:
        """Make everything here part of the store in one record, under the next free number; returns the record.

        ``decide`` sees the store as of the record before and may raise to refuse; it is asked again whenever
        another writer was first, and must not look at the store itself. StaleTransactionError when a chunk relied on
        is gone, or a gc has claimed a pack of ours. UnknownOutcomeError when the record may be published, or is but
        the index could not follow; after any other error it is not.
        """
        packs = self._finish()
        inline = b"".join(bytes(piece) for head, payload in self._inline for piece in seal(head, payload))
        for _ in range(_MAX_RACES):
            position, record = self._store.look_now(lambda view: self._record(view, decide(view), packs, len(inline)))
            if self._append(position, record, inline):
                self._follow(position, {pack.id: pack.entries for pack in packs})
                return record
        raise LockedError(
            f"lost the race for a log record {_MAX_RACES} times; try again when fewer writers are at work"
        )

    def _append(self, position: Position, record: LogRecord, inline: bytes) -> bool:
        try:
            self._maybe_published = self._store.log.append(position, record, inline)
        except UnknownOutcomeError:
            self._maybe_published = True
            raise
        return self._maybe_published

    def _follow(self, position: Position, entries: Entries) -> None:
        try:
            self._store.follow(entries)
        except StorageError as error:
            number = position.number + 1
            raise UnknownOutcomeError(
                f"record {number} is published, but the index could not follow: {error}; run `deltackpt log`"
            ) from error

    def _record(
        self, view: View, decision: Decision, packs: list[FinishedPack], inline: int
    ) -> tuple[Position, LogRecord]:
        if view.deletions != self._found_at:
            self._found_at = view.deletions
            self._packs.clear()
            self._below.clear()
        stored = sum(pack.size for pack in packs) + inline
        record = LogRecord(
            write_id=os.urandom(16),
            time_ns=time.time_ns(),
            operation=decision.operation,
            actor=f"{socket.gethostname()}:{os.getpid()}",
            refs=decision.refs,
            commits=tuple(CommitAdded(data, stored + len(data)) for data in decision.commits),
            packs=tuple(PackAdded(pack.id, pack.size, len(pack.entries)) for pack in packs),
            duplicates=tuple(sorted(self._duplicates(view, decision))),
            revived=tuple(sorted(self._revived(view, packs))),
            superseding=bool(decision.condemned or self._superseded),
            condemned=decision.condemned,
            gone=decision.gone,
            orphans=decision.orphans,
            forgotten=decision.forgotten,
            quarantined=decision.quarantined,
            lost=decision.lost,
            dropped=decision.dropped,
            deleted=decision.deleted,
            undeleted=decision.undeleted,
            purged=decision.purged,
            sealed=decision.sealed,
            annotated=decision.annotated,
        )
        return view.position, record

    def _duplicates(self, view: View, decision: Decision) -> Iterator[ChunkId]:
        """Chunks here that the store has already, other than those that take over: from packs that are condemned, too.

        Said in the record, so that everyone agrees on the copy in use, whichever packs they can still see.
        """
        leaving = frozenset((*decision.condemned, *decision.gone))
        for chunk in self._new.keys() - self._superseded:
            pack = self._packs.get(chunk) or view.pack_of(chunk)
            if pack is not None:
                self._packs[chunk] = pack
                if pack not in leaving:
                    yield chunk

    def _revived(self, view: View, packs: list[FinishedPack]) -> set[PackId]:
        """Condemned packs that hold chunks relied on here.

        Costs next to nothing while no gc has been at work: only then can a chunk have gone since it was found.
        """
        if any(view.is_orphan(pack.id) for pack in packs):
            raise StaleTransactionError("a gc has claimed a pack of this transaction")
        condemned = view.condemned()
        undisturbed = not condemned and view.deletions == self._deletions
        # Another writer may have been first with a base that this transaction brings, and kept it in another way.
        doubtful = (base for base in self._bases.keys() - self._below if not undisturbed or base in self._new)
        if not all(self._still_below(view, base, self._bases[base]) for base in doubtful):
            raise StaleTransactionError("a base of this transaction is gone, or was stored in another way")
        if undisturbed:
            return set()
        if any(head.rank and view.is_lost(chunk) for chunk, head in self._new.items() if chunk not in self._lost):
            raise StaleTransactionError("a chunk of this transaction was lost, and must be stored whole")
        try:
            relied_on = self._referred.difference(self._new)
            places = self._reader.dependencies(view, relied_on, despite_losses=self._copying)
        except ChunkNotFoundError:
            raise StaleTransactionError("a chunk that this transaction relies on is gone") from None
        return {place.pack for place in places if place.pack in condemned}

    def _still_below(self, view: View, base: ChunkId, rank: int) -> bool:
        """Whether the copy of ``base`` that will be in use has a rank below that of the records that stand on it."""
        place = None if base in self._superseded else view.chunk(base)
        if place is not None and place.rank < rank:
            self._below.add(base)
        found = place if place is not None else self._new.get(base)
        return (self._copying and view.is_lost(base)) if found is None else found.rank < rank

    def _finish(self) -> list[FinishedPack]:
        if self._finished is None:
            try:
                self._finished = self._writer.finish() if self._writer is not None else []
            except FileNotFoundError:
                raise StaleTransactionError("a gc swept a pack of this transaction while it grew") from None
        return self._finished

    def _is_missing(self, pack: PackId) -> bool:
        missing = self._missing.get(pack)
        if missing is None:
            in_log = inline_record(pack) is not None
            missing = not in_log and not self._store.disk.exists(self._store.layout.pack(pack))
            self._missing[pack] = missing
        return missing

    def _move_to_pack(self) -> None:
        self._writer = PackWriter(self._store.disk, self._store.layout)
        for head, payload in self._inline:
            self._writer.append(head, payload)
        self._inline = []
        self._inline_size = 0
