"""Pruning: deleting the commits that a policy does not keep, and thinning those that keep only weights.

What is planned is what is done: the same plan feeds a dry run, a report and the deletion. A gc frees the bytes.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from deltackpt.history.commits import Commit
from deltackpt.history.deletion import delete
from deltackpt.history.refs import Branch
from deltackpt.history.repository import Repository
from deltackpt.history.resolve import RefNotFoundError, near_matches
from deltackpt.ids import CommitId
from deltackpt.maintenance.budget import enough_to_fit, occupied_bytes
from deltackpt.maintenance.gc import Collector
from deltackpt.maintenance.keep import Keep
from deltackpt.maintenance.lines import Lines, read_lines
from deltackpt.maintenance.mark import Deleted
from deltackpt.maintenance.retention import Retention, retain
from deltackpt.maintenance.thinning import Thinning


@dataclass(frozen=True, slots=True)
class Kept:
    """A commit that stays, and why."""

    commit: Commit
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a policy makes of a store.

    ``freed_bytes`` is exact: what a gc after the pruning gives back to the disk; ``left_bytes`` is what packs, parity
    and log are then, without the records that prune and gc themselves write. ``squeezed`` are the commits that are
    deleted or thinned for nothing but the budget.
    """

    keep: Keep
    kept: tuple[Kept, ...]
    deleted: tuple[Commit, ...]
    thinned: tuple[tuple[Commit, str], ...]
    squeezed: frozenset[CommitId]
    freed_bytes: int
    left_bytes: int

    @property
    def excess_bytes(self) -> int:
        """Bytes beyond the budget, when what no budget may touch is more than it."""
        return 0 if self.keep.max_size is None else max(0, self.left_bytes - self.keep.max_size)


def prune(
    repository: Repository, keep: Keep, *, dry_run: bool = False, branches: Collection[str] | None = None
) -> PrunePlan:
    """Delete what ``keep`` does not keep, unless ``dry_run``.

    Every line is looked at by itself; with ``branches`` only those, and what is on any other line stays.
    """
    plan = plan_prune(repository, keep, datetime.datetime.now(datetime.UTC), branches)
    if not dry_run:
        delete(repository, plan.deleted, plan.thinned)
    return plan


def plan_prune(
    repository: Repository, keep: Keep, now: datetime.datetime, branches: Collection[str] | None = None
) -> PrunePlan:
    """What :func:`prune` would do at ``now``; changes nothing. NotFoundError for a branch that is not there."""
    lines = read_lines(repository)
    _check_branches(lines, branches)
    retention = retain(keep, lines, now, branches)
    commits = lines.commits()
    thinning = Thinning(repository.manifests)
    gone: list[Deleted] = [(commit.id, None) for commit in commits if commit.id not in retention.reasons]
    gone += [(commit.id, part) for commit in commits if commit.id in retention.thin for part in thinning.parts(commit)]
    squeezed: list[Deleted] = []
    if keep.max_size is not None:
        oldest_first = [c for c in reversed(commits) if c.id in retention.reasons and c.id not in retention.safe]
        candidates = [*_without_optimizer(oldest_first, thinning, gone), *map(_whole, oldest_first)]
        enough = enough_to_fit(repository, gone, candidates, keep.max_size)
        squeezed = [piece for candidate in candidates[:enough] for piece in candidate]
    return _plan(repository, keep, commits, retention, gone, squeezed)


def _without_optimizer(
    commits: Sequence[Commit], thinning: Thinning, gone: Collection[Deleted]
) -> Iterator[list[Deleted]]:
    """What each commit can still be thinned by."""
    known = frozenset(gone)
    for commit in commits:
        parts: list[Deleted] = [(commit.id, part) for part in thinning.parts(commit)]
        if left := [piece for piece in parts if piece not in known]:
            yield left


def _whole(commit: Commit) -> list[Deleted]:
    return [(commit.id, None)]


def _plan(
    repository: Repository,
    keep: Keep,
    commits: Sequence[Commit],
    retention: Retention,
    gone: Sequence[Deleted],
    squeezed: Sequence[Deleted],
) -> PrunePlan:
    pieces = [*gone, *squeezed]
    deleted = {commit for commit, part in pieces if part is None}
    by_id = {commit.id: commit for commit in commits}
    occupied = occupied_bytes(repository.chunks)
    collector = Collector(repository, what_if=pieces)
    freed = collector.plan().freed_bytes
    collector.survey.put_by()
    return PrunePlan(
        keep=keep,
        kept=tuple(Kept(c, tuple(retention.reasons[c.id])) for c in commits if c.id not in deleted),
        deleted=tuple(commit for commit in commits if commit.id in deleted),
        thinned=tuple((by_id[c], part) for c, part in pieces if part is not None and c not in deleted),
        squeezed=frozenset(commit for commit, _ in squeezed),
        freed_bytes=freed,
        left_bytes=occupied - freed,
    )


def _check_branches(lines: Lines, branches: Collection[str] | None) -> None:
    refs = {ref.key: commit for commit, refs in lines.names.items() for ref in refs}
    for name in branches or ():
        if Branch(name).key not in refs:
            raise RefNotFoundError(f"no branch {name!r}{near_matches(name, refs, Branch)}")
