"""Garbage collection: free what no ref reaches, beside writers and readers, with no lock and no clock.

1. Survey the store from log and packs; mark from the refs. Garbage is every record that no mark needs.
2. Plan: packs without live records are condemned; packs with enough dead bytes too, their live records copied. Inline
   bytes of log records count as packs, once the epoch of the log that holds them is sealed. Deltas that stand on
   garbage are encoded anew where that pays.
3. Publish the copies and *condemn* the old packs in one record. Publish *gone*. Unlink, and archive sealed epochs.

Before each record is published the survey is brought forward over whatever others published meanwhile,
and a pack that became live again stays. A writer that relied on a condemned chunk revives its pack in its own
record; one that relied on a gone chunk starts over. So nothing depends on how long anything takes. Files of
unpublished packs are claimed by a record too, before they are unlinked; their age only decides whether to spare a
writer the work of starting over.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from deltackpt.chunkstore.location import inline_record
from deltackpt.chunkstore.log_record import Position
from deltackpt.chunkstore.pack_files import pack_path
from deltackpt.chunkstore.pack_writer import Payload
from deltackpt.chunkstore.record import RecordHead, check
from deltackpt.chunkstore.reserve import keep_reserve, release_reserve
from deltackpt.chunkstore.tables import IndexDamagedError
from deltackpt.chunkstore.transaction import Decision, StaleTransactionError, Transaction
from deltackpt.errors import LockedError, NotFoundError, StorageError
from deltackpt.fs.disk import DiskFullError
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, CommitId, EpochId, PackId
from deltackpt.maintenance.abreast import publish_abreast
from deltackpt.maintenance.archive import EPOCH_RECORDS, archive_sealed, seal
from deltackpt.maintenance.condemn import Copied, Step, lowest_last, steps
from deltackpt.maintenance.holdings import Place
from deltackpt.maintenance.leaving import Leaving
from deltackpt.maintenance.litter import Litter
from deltackpt.maintenance.live import Live, live_records, packed_size
from deltackpt.maintenance.mark import Deleted, Marks
from deltackpt.maintenance.rebase import rebase
from deltackpt.maintenance.reencode import Reencoded, Reencoder
from deltackpt.maintenance.survey import Survey, take_survey

REPACK_DEAD_FRACTION = 0.10
# Dead bytes inline in the log that are worth ending its epoch for.
LEAST_DEAD_INLINE = 64 << 10
_MAX_RESTARTS = 10
_BREATH = 0.05

Progress = Callable[[int, int], None]

_NOTHING: Mapping[ChunkId, RecordHead] = {}


@dataclass(frozen=True, slots=True)
class GcPlan:
    """What a gc would do. ``freed_bytes`` is exact: bytes of files removed less bytes of packs written.

    ``seals`` says that the log's epoch ends, ``archived`` are epochs that have ended. ``condemned`` are packs, and with
    them inline bytes of log records; ``copied`` the live records in them, ``rebased`` deltas that leave a dead base.
    """

    seals: bool
    archived: tuple[EpochId, ...]
    steps: tuple[Step, ...]
    orphans: tuple[PackId, ...]
    leftovers: tuple[str, ...]
    dropped: tuple[CommitId, ...]
    purged: tuple[Deleted, ...]
    removed_bytes: int
    written_bytes: int

    @property
    def condemned(self) -> tuple[PackId, ...]:
        return tuple(pack for step in self.steps for pack in step.condemned)

    @property
    def copied(self) -> tuple[Place, ...]:
        return tuple(place for step in self.steps for place in step.copied)

    @property
    def rebased(self) -> tuple[Reencoded, ...]:
        return tuple(record for step in self.steps for record in step.rebased)

    @property
    def freed_bytes(self) -> int:
        return self.removed_bytes - self.written_bytes

    def followed_by(self, other: GcPlan) -> GcPlan:
        """This one and what another found to do when it was done."""
        return GcPlan(
            self.seals or other.seals,
            self.archived + other.archived,
            self.steps + other.steps,
            self.orphans + other.orphans,
            self.leftovers + other.leftovers,
            self.dropped + other.dropped,
            self.purged + other.purged,
            self.removed_bytes + other.removed_bytes,
            self.written_bytes + other.written_bytes,
        )

    @property
    def empty(self) -> bool:
        return not (self.archived or self.steps or self.orphans or self.leftovers or self.dropped or self.purged)


@dataclass(slots=True)
class Collector:
    """One gc of one store. With ``what_if`` it plans as though these were deleted already.

    A pack is rewritten when ``min_dead`` of it is garbage; at most ``max_written`` bytes are written for that, most
    profitable first. Planning with ``rebases`` encodes what may be worth it: the plan is exact, and takes as long.
    ``progress`` hears (bytes written, bytes to be written).
    """

    repository: Repository
    min_dead: float = REPACK_DEAD_FRACTION
    max_written: int | None = None
    what_if: Collection[Deleted] = ()
    rebases: bool = True
    progress: Progress | None = None
    survey: Survey = field(init=False)
    marks: Marks = field(init=False)
    _besides: dict[CommitId, set[str | None]] = field(default_factory=dict)
    _found: tuple[Position, Leaving] | None = None

    def __post_init__(self) -> None:
        self.survey = take_survey(self.repository.chunks)
        self.marks = Marks.none(self.repository.manifests, self.survey.holdings)
        for commit, part in self.what_if:
            self._besides.setdefault(commit, set()).add(part)

    @property
    def _litter(self) -> Litter:
        return Litter(self.repository.chunks, self.survey)

    def deleted(self, commit: CommitId) -> set[str | None]:
        """Parts of a commit that are deleted, or taken as that; None stands for all of it."""
        return self.survey.deleted.get(commit, set()) | self._besides.get(commit, set())

    def plan(self) -> GcPlan:
        """Look at everything and decide; changes nothing."""
        self.look()
        return self.plan_as_seen()

    def plan_as_seen(self) -> GcPlan:
        """Decide by the last look and the marks as they are."""
        plan = self._plan(())
        if self.rebases and self.min_dead < 1:
            live = self._live()
            rebased = rebase(self._reencoder(), live, self.max_written)
            other = self._plan(rebased) if rebased else plan
            kept = sum(pack.size for pack in self.survey.packs.values()) - other.freed_bytes
            if other.freed_bytes - plan.freed_bytes >= self.min_dead * kept:
                return other
        return plan

    def _reencoder(self) -> Reencoder:
        return Reencoder(self.survey, self.repository.reader, self.marks.chunks)

    def _plan(self, rebased: Sequence[Reencoded]) -> GcPlan:
        live = self._live({member.id: new.head for new in rebased for member in new.head.members})
        seals = self._worth_sealing(live)
        ended = self._ended(seals)
        condemned = self._condemned(live, ended, packed_size(new.head for new in rebased))
        planned = tuple(steps(live, condemned, rebased))
        orphans = self._litter.orphans()
        leftovers = [*self._litter.leftovers(), *self.repository.chunks.log.leftovers()]
        removed = sum(map(self._pack_size, condemned))
        removed += sum(self.survey.inline_bytes[epoch] for epoch in ended)
        removed += sum(self._litter.size(self.repository.chunks.layout.pack(pack)) for pack in orphans)
        removed += sum(self._litter.size(path) for path in leftovers)
        leaving = Leaving.now(self.survey, self.marks, live)
        return GcPlan(
            seals,
            tuple(sorted(ended)),
            planned,
            tuple(orphans),
            tuple(leftovers),
            tuple(sorted(leaving.commits)),
            leaving.pieces,
            removed,
            sum(step.written_bytes for step in planned),
        )

    def execute(self, plan: GcPlan) -> GcPlan:
        """Carry ``plan`` out. May be interrupted anywhere: the next gc takes up what is left."""
        if plan.orphans:
            self._claim_orphans(plan.orphans)
        if plan.seals:
            seal(self.repository, 1)
            # Others may have published to the epoch since the plan was made; now it is complete.
            plan = replace(self.plan(), seals=True)
        self._condemn(plan)
        self._declare_gone()
        self.repository.reader.close()
        self.survey.advance()
        # What is unlinked because of a record must not outlive it: another gc's may not be durable yet.
        self.repository.chunks.log.settle(self.survey.position)
        self.repository.chunks.log.sweep()
        self._litter.unlink(self._litter.leftovers())
        archive_sealed(self.repository)
        # The index is a cache: one that cannot be made smaller is none of gc's concern.
        with contextlib.suppress(IndexDamagedError, StorageError):
            update = self.repository.chunks.index.update()
            update.sweep(len(self.survey.in_use))
            update.compact()
        return plan

    def look(self) -> Position:
        """Bring survey and marks forward to the end of the log; returns how far that is."""
        while True:
            losses = self.survey.losses
            self.survey.advance()
            if self.survey.losses != losses:
                self.marks.clear()
            # A manifest that was moved is found by the index, which must not lag behind what the survey knows.
            self.repository.chunks.catch_up()
            try:
                self.marks.extend(self.survey, self._besides)
                return self.survey.position
            except NotFoundError:
                # Nor may the index be ahead: another gc may have taken a manifest that the survey still counts on.
                if self.survey.is_current:
                    raise

    def _live(self, instead: Mapping[ChunkId, RecordHead] = _NOTHING) -> Live:
        """Records to be kept where they are or copied, when those of ``instead`` have taken over."""
        return live_records(self.survey, self.marks.chunks, instead)

    def _worth_sealing(self, live: Live) -> bool:
        """Whether the epoch has grown long, or enough of what its records carry inline is dead."""
        if self.survey.epoch_length >= EPOCH_RECORDS or self.min_dead >= 1:
            return self.min_dead < 1
        inline = [pack for pack in self.survey.packs if _stands_in(pack, self.survey.position.epoch)]
        size = sum(self.survey.packs[pack].size for pack in inline)
        dead = size - sum(map(live.size, inline))
        return dead >= max(LEAST_DEAD_INLINE, size * self.min_dead)

    def _ended(self, seals: bool) -> set[EpochId]:
        """Epochs that are to be archived; none where there is no room for copies."""
        current = self.survey.position.epoch
        return {epoch for epoch in self.survey.inline_bytes if (seals or epoch != current) and self.min_dead < 1}

    def _condemned(self, live: Live, ended: set[EpochId], written: int) -> list[PackId]:
        """Packs that go, in the order in which the log names them; what is copied out of them is written besides."""
        going = {pack for pack in self.survey.packs if self._goes_anyway(pack, live, ended)}
        written += sum(map(live.size, going))
        rest = {pack: live.size(pack) for pack in self.survey.packs if pack not in going and self._has_dead(pack, live)}
        for pack in sorted(rest, key=lambda pack: (rest[pack] / self.survey.packs[pack].size, pack)):
            worth = rest[pack] <= self.survey.packs[pack].size * (1 - self.min_dead)
            if worth and (self.max_written is None or written + rest[pack] <= self.max_written):
                going.add(pack)
                written += rest[pack]
        return [pack for pack in self.survey.packs if pack in going]

    def _goes_anyway(self, pack: PackId, live: Live, ended: set[EpochId]) -> bool:
        if (inline := inline_record(pack)) is not None:
            return inline.epoch in ended
        return not live.count(pack) or pack in self.survey.condemned

    def _has_dead(self, pack: PackId, live: Live) -> bool:
        known = self.survey.packs[pack]
        return inline_record(pack) is None and 0 < live.count(pack) < known.stop - known.start

    def _claim_orphans(self, orphans: Sequence[PackId]) -> None:
        """A slow writer may have published one of them since the plan was made."""

        def decide() -> Decision:
            return Decision("gc-orphans", orphans=tuple(p for p in orphans if p not in self.survey.published))

        with self._transaction() as transaction:
            self._publish(transaction, decide)

    def _condemn(self, plan: GcPlan) -> None:
        written = 0

        def put(head: RecordHead, payload: Payload) -> None:
            nonlocal written
            transaction.put(head, payload)
            written += head.stored_length
            if self.progress is not None:
                self.progress(written, plan.written_bytes)

        for step in plan.steps:
            with contextlib.suppress(_NothingLeftError), self._transaction() as transaction:
                self._write(step, put)
                for record in step.rebased:
                    for member in record.head.members:
                        transaction.supersede(member.id)
                self._publish(transaction, partial(self._condemnation, step, Copied(transaction)))

    def _write(self, step: Step, put: Callable[[RecordHead, Payload], None]) -> None:
        for place in lowest_last(step.copied):
            head, payload = check(memoryview(self._record(place)), f"pack {place.pack.short}")
            put(head, [payload])
        reencoder = self._reencoder()
        for new in step.rebased:
            put(new.head, reencoder.payload(new))

    def _condemnation(self, step: Step, copied: Copied) -> Decision:
        if not all(new.is_current(self.survey) for new in step.rebased):
            raise StaleTransactionError("a delta that was to leave its base is kept in another way by now")
        if not step.condemned:
            return Decision("gc-rebase")
        live = self._live(copied.transaction.superseded)
        still = [pack for pack in step.condemned if pack in self.survey.packs and copied.holds(live, pack)]
        if not still:
            raise _NothingLeftError
        return Decision("gc-condemn", condemned=tuple(sorted(still)))

    def _declare_gone(self) -> None:
        self.look()
        while not self._leaving().empty:
            with self._transaction() as transaction:
                self._publish(transaction, lambda: self._leaving().decision(self.survey))
            self.look()
            if not self._leaving().empty:
                # Whoever waited for this record has its turn before it must wait for another.
                with contextlib.suppress(OSError):
                    time.sleep(_BREATH)

    def _leaving(self) -> Leaving:
        """What is to be told as gone; a walk through the whole store, so that it is found once for each position."""
        if self._found is None or self._found[0] != self.survey.position:
            self._found = self.survey.position, Leaving.now(self.survey, self.marks, self._live())
        return self._found[1]

    def _transaction(self) -> Transaction:
        # An inline copy would go to the log, which gives nothing back: copies go to packs, however small.
        chunks, reader = self.repository.chunks, self.repository.reader
        return Transaction(chunks, reader, inline_limit=0, copying=True, planned=True)

    def _publish(self, transaction: Transaction, decide: Callable[[], Decision]) -> None:
        """Publish what ``decide`` makes of the survey, under the very number that follows it."""
        publish_abreast(transaction, self.look, decide)

    def _record(self, place: Place) -> bytes:
        chunks = self.repository.chunks
        path = pack_path(chunks.layout, place.pack)
        fd = chunks.disk.open(path)
        try:
            return chunks.disk.read_at(fd, place.entry.offset, place.entry.head.stored_length, path)
        finally:
            chunks.disk.close(fd, path)

    def _pack_size(self, pack: PackId) -> int:
        """Bytes that go with a pack, its parity among them; none for inline bytes, which go with their epoch."""
        if inline_record(pack) is not None:
            return 0
        return self.survey.packs[pack].size + self._litter.size(self.repository.chunks.layout.parity(pack))


class _NothingLeftError(Exception):
    """Others have seen to it that a step has nothing to do any more."""


def _stands_in(pack: PackId, epoch: EpochId) -> bool:
    inline = inline_record(pack)
    return inline is not None and inline.epoch == epoch


def collect(
    repository: Repository,
    *,
    dry_run: bool = False,
    min_dead: float = REPACK_DEAD_FRACTION,
    max_written: int | None = None,
    progress: Progress | None = None,
) -> GcPlan:
    """Plan a gc, and carry it out unless ``dry_run``.

    A full disk gives up its reserve; when that has no room for copies either, what needs none is deleted first.
    """
    disk, layout, reserve = repository.chunks.disk, repository.chunks.layout, repository.chunks.facts.reserve_bytes
    collector = partial(Collector, repository, max_written=max_written, progress=progress)
    try:
        return _collect(partial(collector, min_dead), dry_run)
    except DiskFullError:
        if dry_run or not release_reserve(disk, layout):
            raise
        with contextlib.suppress(DiskFullError):
            return _collect(partial(collector, min_dead), dry_run)
        done = _collect(partial(collector, 1.0), dry_run)
        # What went without copies may have made room for them.
        with contextlib.suppress(DiskFullError):
            done = done.followed_by(_collect(partial(collector, min_dead), dry_run))
        return done
    finally:
        if not dry_run:
            keep_reserve(disk, layout, reserve)


def _collect(make: Callable[[], Collector], dry_run: bool) -> GcPlan:
    for _ in range(_MAX_RESTARTS):
        collector = make()
        plan = collector.plan()
        # Another gc may take away what this one is about to copy; what is left to do is then another plan.
        with contextlib.suppress(StaleTransactionError, FileNotFoundError):
            done = plan if dry_run or plan.empty else collector.execute(plan)
            collector.survey.put_by()
            return done
    raise LockedError(f"gave up after another gc overtook this one {_MAX_RESTARTS} times; let it finish")
