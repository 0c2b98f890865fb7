"""What a policy makes of the lines of a store: why each commit stays, and which lose their optimizer parts.

A function of values alone: nothing is read and nothing changes.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from deltackpt.history.commits import Commit
from deltackpt.history.refs import Branch, Ref, Tag
from deltackpt.ids import CommitId
from deltackpt.maintenance.keep import Keep
from deltackpt.maintenance.lines import Line, Lines
from deltackpt.maintenance.quantity import duration_text


@dataclass(frozen=True, slots=True)
class Retention:
    """``reasons`` by commit, for those that stay; ``thin`` are those of them that keep only weights.

    ``safe`` are the commits that no budget may touch: named ones, the newest healthy one of each line, the best.
    """

    reasons: Mapping[CommitId, Sequence[str]]
    thin: frozenset[CommitId]
    safe: frozenset[CommitId]


def retain(keep: Keep, lines: Lines, now: datetime.datetime, branches: Collection[str] | None = None) -> Retention:
    """Apply ``keep`` to every line by itself, or to those of ``branches`` alone; what is on another line stays then.

    ``now`` is what ``within`` counts from.
    """
    chosen = [line for line in lines.lines if branches is None or _is_branch(line, branches)]
    others = [line for line in lines.lines if branches is not None and not _is_branch(line, branches)]
    why = _Reasons()
    for line in chosen:
        why.add_all(_wanted(keep, line.commits, lines.names, now))
    for line in others:
        why.add(line.commits, f"on {line.ref.name}")
    known = {commit.id: commit for line in lines.lines for commit in line.commits}
    for identity, refs in lines.names.items():
        for ref in refs if identity in known else ():
            why.add([known[identity]], _name(ref))
    untouched = {commit.id for line in others for commit in line.commits}
    thin = set(_thin(keep, chosen, lines.names, why.by_commit)) - untouched
    return Retention(why.by_commit, frozenset(thin), frozenset({*lines.names, *untouched, *_precious(keep, chosen)}))


def _is_branch(line: Line, names: Collection[str]) -> bool:
    return isinstance(line.ref, Branch) and line.ref.name in names


@dataclass(frozen=True, slots=True)
class _Reasons:
    """Reasons by commit, each told once."""

    by_commit: dict[CommitId, list[str]] = field(default_factory=dict)

    def add(self, commits: Iterable[Commit], reason: str) -> None:
        for commit in commits:
            known = self.by_commit.setdefault(commit.id, [])
            if reason not in known:
                known.append(reason)

    def add_all(self, wanted: Iterable[tuple[Iterable[Commit], str]]) -> None:
        for commits, reason in wanted:
            self.add(commits, reason)


def _name(ref: Ref) -> str:
    return f"head of {ref.name}" if isinstance(ref, Branch) else f"tag {ref.name}"


def _wanted(
    keep: Keep, line: Sequence[Commit], names: Mapping[CommitId, Sequence[Ref]], now: datetime.datetime
) -> Iterator[tuple[Iterable[Commit], str]]:
    """Which commits of a line each rule keeps."""
    if keep.keeps_all:
        yield line, "no rule"
    if keep.last is not None:
        yield _newest(line, keep.last), f"last {keep.last}"
    if keep.every is not None:
        yield _multiples(line, keep.every), f"every {keep.every}"
    if keep.within is not None:
        yield _younger(line, keep.within, now), f"within {duration_text(keep.within)}"
    if keep.milestones:
        wanted = frozenset(keep.milestones)
        yield [commit for commit in line if commit.step in wanted], "milestone"
    for direction, metric, count in keep.metrics():
        yield _best(line, direction, metric, count), f"best {direction}:{metric}"
    if keep.tags:
        yield [commit for commit in line if _has_tag(names.get(commit.id, ()), keep.tags)], "tagged"


def _newest(line: Sequence[Commit], count: int) -> list[Commit]:
    """Commits from the newest on until ``count`` healthy ones are among them."""
    taken = []
    for commit in line:
        if count == 0:
            break
        taken.append(commit)
        count -= commit.healthy
    return taken


def _multiples(line: Sequence[Commit], every: int) -> list[Commit]:
    return [commit for commit in line if commit.step is not None and commit.step % every == 0]


def _younger(line: Sequence[Commit], span: datetime.timedelta, now: datetime.datetime) -> list[Commit]:
    return [commit for commit in line if now - commit.time <= span]


def _best(line: Sequence[Commit], direction: str, metric: str, count: int) -> list[Commit]:
    """The best by a metric; of equally good ones the newer. Not a number is never best."""
    measured = [c for c in line if not math.isnan(c.metrics.get(metric, math.nan))]
    sign = 1 if direction == "min" else -1
    return sorted(measured, key=lambda commit: sign * commit.metrics[metric])[:count]


def _has_tag(refs: Iterable[Ref], globs: Iterable[str]) -> bool:
    return any(isinstance(ref, Tag) and any(fnmatchcase(ref.name, glob) for glob in globs) for ref in refs)


def _thin(
    keep: Keep, lines: Iterable[Line], names: Mapping[CommitId, Sequence[Ref]], kept: Collection[CommitId]
) -> Iterator[CommitId]:
    """Commits that stay, beyond the newest so many on every line that they are on, and under none of the tags."""
    if keep.optimizer is None:
        return
    staying = [[commit for commit in line.commits if commit.id in kept] for line in lines]
    newest = {commit.id for line in staying for commit in _newest(line, keep.optimizer)}
    for identity in {commit.id for line in staying for commit in line} - newest:
        if not _has_tag(names.get(identity, ()), keep.tags):
            yield identity


def _precious(keep: Keep, lines: Iterable[Line]) -> Iterator[CommitId]:
    """The newest healthy commit of each line, and the best."""
    for line in lines:
        yield from (commit.id for commit in _newest(line.commits, 1) if commit.healthy)
        for direction, metric, count in keep.metrics():
            yield from (commit.id for commit in _best(line.commits, direction, metric, count))
