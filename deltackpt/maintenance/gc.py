"""Garbage collection: free what no ref reaches, beside writers and readers, with no lock and no clock.

1. Survey the store from log and packs; mark from the refs. Garbage is every record that no mark needs.
2. Plan: packs without live records are condemned; packs with enough dead bytes too, their live records copied.
3. Publish the copies and *condemn* the old packs in one record. Publish *gone*. Unlink.

Before each record is published the survey is brought forward over whatever others published meanwhile,
and a pack that became live again stays. A writer that relied on a condemned chunk revives its pack in its own
record; one that relied on a gone chunk starts over. So nothing depends on how long anything takes. Files of
unpublished packs are claimed by a record too, before they are unlinked; their age only decides whether to spare a
writer the work of starting over.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from deltackpt.chunkstore.index import View
from deltackpt.chunkstore.layout import pack_named
from deltackpt.chunkstore.log import Piece, UnknownOutcomeError
from deltackpt.chunkstore.pack import HEADER_SIZE, TARGET_PACK_BYTES, TRAILER_SIZE
from deltackpt.chunkstore.record import check
from deltackpt.chunkstore.reserve import keep_reserve, release_reserve
from deltackpt.chunkstore.transaction import Decision, StaleTransactionError, Transaction
from deltackpt.errors import LockedError, NotFoundError, StorageError
from deltackpt.fs.disk import DiskFullError
from deltackpt.fs.lock import is_held
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, CommitId, PackId
from deltackpt.maintenance.mark import Deleted, Marks, live_records
from deltackpt.maintenance.survey import Place, Survey

REPACK_DEAD_FRACTION = 0.10
SPARED_SECONDS = 3600.0
_MAX_RACES = 1000
_MAX_RESTARTS = 10


class _OvertakenError(Exception):
    """Somebody published since the survey: look again."""


@dataclass(frozen=True, slots=True)
class GcPlan:
    """What a gc would do. ``freed_bytes`` is exact: bytes of files removed less bytes of packs written."""

    condemned: tuple[PackId, ...]
    copied: tuple[Place, ...]
    orphans: tuple[PackId, ...]
    leftovers: tuple[str, ...]
    dropped: tuple[CommitId, ...]
    purged: tuple[Deleted, ...]
    removed_bytes: int
    written_bytes: int

    @property
    def freed_bytes(self) -> int:
        return self.removed_bytes - self.written_bytes

    @property
    def empty(self) -> bool:
        return not (self.condemned or self.orphans or self.leftovers or self.dropped or self.purged)


@dataclass(slots=True)
class Collector:
    """One gc of one store. With ``what_if`` it plans as though these were deleted already."""

    repository: Repository
    min_dead: float = REPACK_DEAD_FRACTION
    what_if: Collection[Deleted] = ()
    survey: Survey = field(init=False)
    marks: Marks = field(init=False)

    def __post_init__(self) -> None:
        self.survey = Survey(self.repository.chunks)
        self.marks = Marks(self.repository.manifests)

    def plan(self) -> GcPlan:
        """Look at everything and decide; changes nothing."""
        self._look()
        live = self._live_by_pack()
        condemned = [pack for pack in self.survey.packs if self._worth_condemning(pack, live.get(pack, []))]
        copied = [place for pack in condemned for place in live.get(pack, [])]
        orphans = self._orphans()
        leftovers = self._leftovers()
        removed = sum(self.survey.packs[pack][0] for pack in condemned)
        removed += sum(self._file_size(self.repository.chunks.layout.pack(pack)) for pack in orphans)
        removed += sum(self._file_size(path) for path in leftovers)
        dropped = tuple(sorted(set(self.survey.commits) - self.marks.commits))
        return GcPlan(
            tuple(condemned),
            tuple(copied),
            tuple(orphans),
            tuple(leftovers),
            dropped,
            self._purged(),
            removed,
            packed_size(copied),
        )

    def execute(self, plan: GcPlan) -> GcPlan:
        """Carry ``plan`` out. May be interrupted anywhere: the next gc takes up what is left."""
        if plan.orphans:
            self._claim_orphans(plan.orphans)
        if plan.condemned:
            self._condemn(plan)
        if plan.condemned or plan.dropped or plan.purged:
            self._declare_gone()
        self.repository.reader.close()
        self.survey.advance()
        # What is unlinked because of a record must not outlive it: another gc's may not be durable yet.
        self.repository.chunks.log.settle(self.survey.applied)
        self._unlink([*plan.leftovers, *self._leftovers()])
        return plan

    def _look(self) -> None:
        """Bring survey and marks forward to the end of the log."""
        while True:
            self.survey.advance()
            # Manifests are found by the index, which must not lag behind the commits that the survey knows.
            self.repository.chunks.catch_up()
            for commit, part in self.what_if:
                self.survey.deleted.setdefault(commit, set()).add(part)
            try:
                self.marks.extend(self.survey)
                return
            except NotFoundError:
                # Nor may the index be ahead: another gc may have taken a manifest that the survey still counts on.
                if self.survey.is_current:
                    raise

    def _purged(self) -> tuple[Deleted, ...]:
        """Deleted commits and parts whose contents this gc passes over, for the first time."""
        return tuple(sorted(self.marks.passed_over - self.survey.purged, key=lambda piece: (piece[0], piece[1] or "")))

    def _live_by_pack(self) -> dict[PackId, list[Place]]:
        live: dict[PackId, list[Place]] = {}
        for place in live_records(self.survey, self.marks.chunks).values():
            live.setdefault(place.pack, []).append(place)
        return {pack: sorted(places, key=lambda place: place.entry.offset) for pack, places in live.items()}

    def _worth_condemning(self, pack: PackId, live: list[Place]) -> bool:
        size, entries = self.survey.packs[pack]
        if not live or pack in self.survey.condemned:
            return True
        return len(live) < len(entries) and packed_size(live) <= size * (1 - self.min_dead)

    def _claim_orphans(self, orphans: Sequence[PackId]) -> None:
        """A slow writer may have published one of them since the plan was made."""

        def decide() -> Decision:
            return Decision("gc-orphans", orphans=tuple(p for p in orphans if p not in self.survey.published))

        with self._transaction() as transaction:
            self._publish(transaction, decide)

    def _condemn(self, plan: GcPlan) -> None:
        with self._transaction() as transaction:
            for place in self._base_first(plan.copied):
                head, payload = check(memoryview(self._record(place)), f"pack {place.pack.short}")
                transaction.put(head, [payload])

            def decide() -> Decision:
                live = self._live_by_pack()
                present = (pack for pack in plan.condemned if pack in self.survey.packs)
                still = [p for p in present if all(self._is_copied(place, transaction) for place in live.get(p, []))]
                if not still:
                    raise StaleTransactionError("nothing of the plan is left to be done")
                return Decision("gc-condemn", condemned=tuple(sorted(still)))

            self._publish(transaction, decide)

    def _declare_gone(self) -> None:
        with self._transaction() as transaction:
            self._publish(transaction, self._gone)

    def _gone(self) -> Decision:
        live = self._live_by_pack()
        gone = {pack for pack in self.survey.condemned if pack not in live}
        dropped = set(self.survey.commits) - self.marks.commits
        return Decision(
            "gc",
            gone=tuple(sorted(gone)),
            forgotten=self._forgotten(gone),
            dropped=tuple(sorted(dropped)),
            purged=tuple(Piece(commit, part) for commit, part in self._purged()),
        )

    def _transaction(self) -> Transaction:
        # An inline copy would go to the log, which gives nothing back: copies go to packs, however small.
        return Transaction(self.repository.chunks, self.repository.reader, inline_limit=0)

    def _publish(self, transaction: Transaction, decide: Callable[[], Decision]) -> None:
        """Publish what ``decide`` makes of the survey, under the very number that follows it."""

        def unless_overtaken(view: View) -> Decision:
            if view.applied != self.survey.applied:
                raise _OvertakenError
            return decision

        for _ in range(_MAX_RACES):
            self._look()
            decision = decide()
            # With an unknown outcome the log tells, which is what every next step looks at.
            with contextlib.suppress(_OvertakenError):
                with contextlib.suppress(UnknownOutcomeError):
                    transaction.publish(unless_overtaken)
                return
        raise LockedError(f"gc was overtaken by writers {_MAX_RACES} times; try again when fewer are at work")

    def _forgotten(self, gone: set[PackId]) -> tuple[ChunkId, ...]:
        """Garbage in packs that stay, with a base that goes: it must not be found again."""
        lost: dict[ChunkId, bool] = {}
        for start in self.survey.in_use:
            pending = [start]
            while pending:
                chunk = pending[-1]
                place = self.survey.in_use.get(chunk)
                unknown = [] if place is None else [base for base in place.entry.head.bases if base not in lost]
                if chunk not in lost and unknown and place is not None and place.pack not in gone:
                    pending.extend(unknown)
                    continue
                pending.pop()
                if chunk not in lost:
                    bases = () if place is None else place.entry.head.bases
                    lost[chunk] = place is None or place.pack in gone or any(lost[base] for base in bases)
        stay = (c for c, is_lost in lost.items() if is_lost and c in self.survey.in_use)
        return tuple(sorted(chunk for chunk in stay if self.survey.in_use[chunk].pack not in gone))

    def _base_first(self, places: Iterable[Place]) -> list[Place]:
        return sorted(places, key=lambda place: place.entry.head.rank)

    def _record(self, place: Place) -> bytes:
        chunks = self.repository.chunks
        path = chunks.layout.pack(place.pack)
        fd = chunks.disk.open(path)
        try:
            return chunks.disk.read_at(fd, place.entry.offset, place.entry.head.stored_length, path)
        finally:
            chunks.disk.close(fd, path)

    @staticmethod
    def _is_copied(place: Place, transaction: Transaction) -> bool:
        return all(transaction.contains(member.id) for member in place.entry.head.members)

    def _orphans(self) -> list[PackId]:
        """Finished packs that no record names, unless they are so young that their writer may still be at work."""
        chunks = self.repository.chunks
        found = []
        for pack, path in self._pack_files():
            young = self._age(path) < SPARED_SECONDS
            if pack not in self.survey.published and pack not in self.survey.finished and not young:
                found.append(pack)
        return sorted(found) if chunks.writable else []

    def _leftovers(self) -> list[str]:
        """Files of packs that are gone, and what crashed writers left in ``tmp`` and ``log``."""
        layout = self.repository.chunks.layout
        disk = self.repository.chunks.disk
        files = [path for pack, path in self._pack_files() if pack in self.survey.finished]
        abandoned = [os.path.join(layout.tmp, name) for name in disk.names(layout.tmp)]
        files += [path for path in abandoned if not is_held(path)]
        staged = [os.path.join(layout.log, name) for name in disk.names(layout.log) if name.startswith(".")]
        return files + [path for path in staged if self._age(path) >= SPARED_SECONDS]

    def _pack_files(self) -> list[tuple[PackId, str]]:
        layout, disk = self.repository.chunks.layout, self.repository.chunks.disk
        shelves = [os.path.join(layout.packs, name) for name in disk.names(layout.packs)]
        names = [(pack_named(name), os.path.join(shelf, name)) for shelf in shelves for name in disk.names(shelf)]
        return [(pack, path) for pack, path in names if pack is not None]

    def _unlink(self, paths: Iterable[str]) -> None:
        disk = self.repository.chunks.disk
        for path in paths:
            disk.unlink(path)
        for folder in {os.path.dirname(path) for path in paths}:
            disk.sync_directory(folder)

    def _file_size(self, path: str) -> int:
        try:
            return self.repository.chunks.disk.size(path)
        except (FileNotFoundError, StorageError):
            return 0

    @staticmethod
    def _age(path: str) -> float:
        try:
            return time.time() - os.stat(path).st_mtime
        except FileNotFoundError:
            return 0.0


def packed_size(places: Iterable[Place]) -> int:
    """Bytes of the packs that a writer makes of these records."""
    total, current = 0, 0
    for place in places:
        head = place.entry.head
        if not current:
            current = HEADER_SIZE
            total += HEADER_SIZE + TRAILER_SIZE
        current += head.stored_length
        total += head.stored_length + 8 + head.size
        if current >= TARGET_PACK_BYTES:
            current = 0
    return total


def collect(repository: Repository, *, dry_run: bool = False, min_dead: float = REPACK_DEAD_FRACTION) -> GcPlan:
    """Plan a gc, and carry it out unless ``dry_run``.

    A full disk gives up its reserve; when that has no room for copies either, only what needs none is deleted.
    """
    disk, layout, reserve = repository.chunks.disk, repository.chunks.layout, repository.chunks.facts.reserve_bytes
    try:
        return _collect(repository, dry_run, min_dead)
    except DiskFullError:
        if dry_run or not release_reserve(disk, layout):
            raise
        with contextlib.suppress(DiskFullError):
            return _collect(repository, dry_run, min_dead)
        return _collect(repository, dry_run, min_dead=1.0)
    finally:
        if not dry_run:
            keep_reserve(disk, layout, reserve)


def _collect(repository: Repository, dry_run: bool, min_dead: float) -> GcPlan:
    for _ in range(_MAX_RESTARTS):
        collector = Collector(repository, min_dead)
        plan = collector.plan()
        if dry_run or plan.empty:
            return plan
        # Another gc may take away what this one is about to copy; what is left to do is then another plan.
        with contextlib.suppress(StaleTransactionError, FileNotFoundError):
            return collector.execute(plan)
    raise LockedError(f"gave up after another gc overtook this one {_MAX_RESTARTS} times; let it finish")
