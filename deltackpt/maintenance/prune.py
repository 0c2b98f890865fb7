"""Pruning: deleting the commits that a policy does not keep, and thinning those that keep only weights.

What is planned is what is done: the same plan feeds a dry run, a report and the deletion. A gc frees the bytes.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from deltackpt.checkout.leaves import part_leaves
from deltackpt.history.commits import Commit
from deltackpt.history.deletion import delete
from deltackpt.history.refs import parse_key
from deltackpt.history.repository import Repository
from deltackpt.ids import CommitId
from deltackpt.maintenance.gc import Collector
from deltackpt.maintenance.keep import Keep, Reasons, reasons
from deltackpt.maintenance.mark import Deleted

THINNED_PREFIX = "optim"


@dataclass(frozen=True, slots=True)
class Kept:
    """A commit that stays, and why."""

    commit: Commit
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a policy makes of a store. ``freed_bytes`` is exact: what a gc after the pruning gives back to the disk."""

    kept: tuple[Kept, ...]
    deleted: tuple[Commit, ...]
    thinned: tuple[tuple[Commit, str], ...]
    freed_bytes: int


def prune(repository: Repository, keep: Keep, *, dry_run: bool = False) -> PrunePlan:
    """Delete what ``keep`` does not keep, unless ``dry_run``. Every line is looked at by itself, from its branch."""
    plan = plan_prune(repository, keep, datetime.datetime.now(datetime.UTC))
    if not dry_run:
        delete(repository, plan.deleted, plan.thinned)
    return plan


def plan_prune(repository: Repository, keep: Keep, now: datetime.datetime) -> PrunePlan:
    """What :func:`prune` would do at ``now``; changes nothing."""
    refs = repository.look(lambda history: history.view.refs())
    heads = [commit for key, commit in refs.items() if key.startswith("heads/")]
    lines = [repository.look(lambda history, head=head: list(history.line(head))) for head in heads]  # type: ignore[misc]
    why = Reasons()
    for line in lines:
        why.merge(reasons(keep, line, now))
    commits = {commit.id: commit for line in lines for commit in line}
    for key, commit in refs.items():
        if commit in commits:
            why.add([commits[commit]], _named(key))
    ordered = sorted(commits.values(), key=lambda commit: commit.time, reverse=True)
    kept = tuple(Kept(commit, tuple(why.of(commit))) for commit in ordered if why.of(commit))
    deleted = tuple(commit for commit in ordered if not why.of(commit))
    thinned = tuple(_thinned(repository, keep, lines, {entry.commit.id for entry in kept}))
    return PrunePlan(kept, deleted, thinned, _freed(repository, deleted, thinned))


def _named(key: str) -> str:
    name = parse_key(key).name
    return f"head of {name}" if key.startswith("heads/") else f"tag {name}"


def _thinned(
    repository: Repository, keep: Keep, lines: Sequence[Sequence[Commit]], kept: set[CommitId]
) -> list[tuple[Commit, str]]:
    """Optimizer parts of kept commits that are beyond the newest so many on every line they are on."""
    if keep.optimizer is None:
        return []
    staying = [[commit for commit in line if commit.id in kept] for line in lines]
    newest = {commit.id for line in staying for commit in line[: keep.optimizer]}
    older = {commit.id: commit for line in staying for commit in line if commit.id not in newest}
    return [(commit, part) for commit in older.values() for part in _thinnable(repository, commit)]


def _thinnable(repository: Repository, commit: Commit) -> list[str]:
    """Parts that can go without taking from another: one that holds a tied tensor's bytes stays."""
    names = [part.name for part in commit.parts if part.name.lower().startswith(THINNED_PREFIX)]
    others = [part.name for part in commit.parts if part.name not in names]
    needed = {t.leaf.reference.part for name in others for t in part_leaves(repository, commit, name).tensors}
    return [name for name in names if name not in needed]


def _freed(repository: Repository, deleted: Sequence[Commit], thinned: Sequence[tuple[Commit, str]]) -> int:
    pieces: list[Deleted] = [(commit.id, None) for commit in deleted]
    pieces += [(commit.id, part) for commit, part in thinned]
    return Collector(repository, what_if=pieces).plan().freed_bytes
