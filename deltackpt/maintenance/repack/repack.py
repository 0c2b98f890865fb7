"""Repacking, in steps of bounded size: each publishes new records that take over, and nothing has to be done twice.

1. A gc, so that only what commits need is encoded anew.
2. Block by block: its records encoded from the newest back, kept when that pays. A step's records are published in one
   log record, under whose number it is made sure that what stands on them from outside still can.
3. A gc takes the old records away. Until then they take room beside the new ones.

What others change meanwhile stays as they left it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from deltackpt.chunkstore.record import RecordHead
from deltackpt.chunkstore.transaction import Decision, StaleTransactionError, Transaction
from deltackpt.codec.encode import DEFAULT_BUDGET
from deltackpt.errors import LockedError, NotFoundError
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, CommitId
from deltackpt.maintenance.abreast import publish_abreast
from deltackpt.maintenance.budget import occupied_bytes
from deltackpt.maintenance.gc import Collector, collect
from deltackpt.maintenance.keep import Keep
from deltackpt.maintenance.lines import read_lines
from deltackpt.maintenance.live import live_records
from deltackpt.maintenance.policy import read_policy
from deltackpt.maintenance.reencode import Reencoded, Reencoder
from deltackpt.maintenance.repack.columns import blocks, kept_parts
from deltackpt.maintenance.repack.reversal import Reversal
from deltackpt.maintenance.retention import retain
from deltackpt.maintenance.survey import Survey

# Bytes of records in one step.
STEP_BYTES = 256 << 20
_MAX_RESTARTS = 10

T = TypeVar("T")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class RepackReport:
    """What repacking did, or would do. Sizes are of packs, parity and log; of a dry run ``after_bytes`` is an estimate.

    ``seconds`` are estimates of checking out the newest commit with all threads, its files in memory.
    """

    records: int
    before_bytes: int
    after_bytes: int
    before_seconds: float
    after_seconds: float


def repack(
    repository: Repository, *, recompress: bool = False, dry_run: bool = False, progress: Progress | None = None
) -> RepackReport:
    """Make what is read most cheap to read, unless ``dry_run``; with ``recompress`` encode all that gets smaller.

    ``progress`` hears (plain bytes looked at, plain bytes in all).
    """
    before = occupied_bytes(repository.chunks)
    if not dry_run:
        collect(repository)
    work = _Repacking(repository, recompress, dry_run, progress)
    seconds = work.beside_deletions(work.seconds)
    work.beside_deletions(work.run)
    if not dry_run:
        collect(repository)
    after = occupied_bytes(repository.chunks) if not dry_run else before + work.growth
    return RepackReport(work.records, before, after, seconds, work.beside_deletions(work.seconds))


@dataclass(slots=True)
class _Repacking:
    repository: Repository
    recompress: bool
    dry_run: bool
    progress: Progress | None
    records: int = 0
    growth: int = 0
    _collector: Collector = field(init=False)
    _reencoder: Reencoder = field(init=False)

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._collector = Collector(self.repository)
        self._collector.look()
        self._reencoder = Reencoder(self._survey, self.repository.reader, self._collector.marks.chunks)

    @property
    def _survey(self) -> Survey:
        return self._collector.survey

    def beside_deletions(self, task: Callable[[], T]) -> T:
        """What ``task`` gives, which is begun again when others took away what it was about; published steps stay."""
        for _ in range(_MAX_RESTARTS):
            taken = self._survey.losses
            try:
                return task()
            except (NotFoundError, FileNotFoundError):
                self._collector.look()
                if self._survey.losses == taken:
                    raise
                self._begin()
        raise LockedError(f"gave up after a gc overtook this repack {_MAX_RESTARTS} times; let it finish")

    def seconds(self) -> float:
        """Estimated time to check out the newest commit, by what its chunks cost to decode."""
        marked = self._collector.marks.commits
        alive = (
            c for c in reversed(self._survey.commits) if c in marked and None not in self._survey.deleted.get(c, ())
        )
        newest = next(alive, None)
        heads = [(chunk, self._reencoder.head(chunk)) for chunk in self._chunks(() if newest is None else (newest,))]
        lengths = ((next(m.length for m in head.members if m.id == chunk), head.cost) for chunk, head in heads)
        return sum(length * cost for length, cost in lengths) / 1e9 / self.repository.options.workers

    def _chunks(self, commits: Iterable[CommitId]) -> Iterator[ChunkId]:
        wanted = frozenset(commits)
        for commit, part in kept_parts(self._survey, self._collector.marks):
            if commit in wanted:
                for tensor in self.repository.manifests.part(part.id).tensors:
                    yield from (chunk for chunk in tensor.chunks if chunk in self._survey.in_use)

    def run(self) -> None:
        """Block by block; what makes up a step is published before more is encoded."""
        if self.dry_run:
            self.records = self.growth = 0
        live = live_records(self._survey, self._collector.marks.chunks)
        budget = self.repository.options.chain_budget or DEFAULT_BUDGET
        favoured = frozenset(self._chunks(self._precious()))
        reversal = Reversal(self._reencoder, favoured, live.everywhere(), budget, self.recompress)
        found = blocks(self._reencoder, self._collector.marks, self.repository.manifests)
        sizes = [sum(place.entry.head.plain_length for place in block.records()) for block in found]
        done = 0
        step: list[Reencoded] = []
        for block, size in zip(found, sizes, strict=True):
            step += reversal.planned(block)
            if sum(record.head.stored_length for record in step) >= STEP_BYTES:
                self._finish(step)
                step = []
            done += size
            if self.progress is not None:
                self.progress(done, sum(sizes))
        self._finish(step)

    def _precious(self) -> Iterable[CommitId]:
        """Commits that are read most: named, newest, and the best by the store's policy."""
        policy = read_policy(self.repository.chunks) or Keep()
        return retain(policy, read_lines(self.repository), datetime.datetime.now(datetime.UTC)).safe

    def _finish(self, step: list[Reencoded]) -> None:
        if step and (self.dry_run or self._publish(step)):
            self.records += len(step)
            self.growth += sum(record.growth for record in step)

    def _publish(self, step: list[Reencoded]) -> bool:
        """Whether the step was published; it is left undone where somebody else changed what it is about."""
        with Transaction(self.repository.chunks, self.repository.reader, inline_limit=0, planned=True) as transaction:
            try:
                for record in step:
                    transaction.put(record.head, self._reencoder.payload(record))
                    for member in record.head.members:
                        transaction.supersede(member.id)
                publish_abreast(transaction, self._collector.look, lambda: self._decide(step, transaction.superseded))
            except StaleTransactionError:
                self._reencoder.take_back(step)
                return False
        return True

    def _decide(self, step: Iterable[Reencoded], heads: Mapping[ChunkId, RecordHead]) -> Decision:
        if not all(record.is_current(self._survey) for record in step):
            raise StaleTransactionError("a record that was encoded anew is kept in another way by now")
        return Decision("repack", forgotten=tuple(sorted(self._sunk(heads))))

    def _sunk(self, heads: Mapping[ChunkId, RecordHead]) -> set[ChunkId]:
        """Garbage of a rank too low for the new records below it; StaleTransactionError when it is none."""
        live = {id(p.entry) for p in live_records(self._survey, self._collector.marks.chunks, heads).everywhere()}
        sunk: set[ChunkId] = set()
        for chunk, place in sorted(self._survey.in_use.items(), key=lambda item: item[1].entry.head.rank):
            head = place.entry.head
            if chunk not in heads and any(b in sunk or (b in heads and heads[b].rank >= head.rank) for b in head.bases):
                if id(place.entry) in live:
                    raise StaleTransactionError("something new stands on a record that was encoded anew")
                sunk.add(chunk)
        return sunk
