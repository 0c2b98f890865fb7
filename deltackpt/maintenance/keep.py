"""Which commits to keep: one policy value, for pruning by hand and for training loops alike.

Rules are united: a commit stays when any of them wants it, and the plan says which. Heads of branches and tagged
commits always stay.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from deltackpt.errors import InvalidInputError
from deltackpt.history.commits import Commit
from deltackpt.ids import CommitId

_DURATION = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_METRIC = re.compile(r"(min|max):(.+)")


@dataclass(frozen=True, slots=True)
class Keep:
    """A retention policy. Nothing set keeps everything.

    ``last``: the newest so many *healthy* commits of each line, and any unhealthy ones among them, so that a run of NaN
    does not push out the last good state. ``every``: commits whose step is a multiple. ``within``: younger than
    this, a duration or a text such as "7d". ``best``: by metric, how many of the best ("min:val_loss" alone means
    one). ``milestones``: these steps. ``optimizer``: parts other than weights only for the newest so many commits.
    """

    last: int | None = None
    every: int | None = None
    within: datetime.timedelta | str | None = None
    best: Mapping[str, int] | Sequence[str] | str = ()
    milestones: Sequence[int] = ()
    optimizer: int | None = None

    def __post_init__(self) -> None:
        for name in ("last", "every", "optimizer"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InvalidInputError(f"keep {name} is a whole number from 1 on, not {value!r}")
        # Refuse what cannot be understood when the policy is made, not when it is first used.
        self.span()
        self.metrics()

    @property
    def keeps_all(self) -> bool:
        """Whether no rule limits which commits stay."""
        limits = (self.last, self.every, self.within)
        return all(limit is None for limit in limits) and not self.best and not self.milestones

    def span(self) -> datetime.timedelta | None:
        """``within`` as a duration."""
        if self.within is None or isinstance(self.within, datetime.timedelta):
            return self.within
        match = _DURATION.fullmatch(self.within.strip())
        if match is None:
            raise InvalidInputError(f"keep within is a duration such as 90m, 12h, 7d or 2w, not {self.within!r}")
        return datetime.timedelta(seconds=int(match[1]) * _SECONDS[match[2]])

    def metrics(self) -> dict[tuple[str, str], int]:
        """``best`` as (min or max, metric) with how many to keep."""
        named = {self.best: 1} if isinstance(self.best, str) else self.best
        counted = named if isinstance(named, Mapping) else dict.fromkeys(named, 1)
        found = {}
        for text, count in counted.items():
            match = _METRIC.fullmatch(text)
            if match is None or count < 1:
                raise InvalidInputError(f"keep best is min:METRIC or max:METRIC, not {text!r}")
            found[match[1], match[2]] = count
        return found


@dataclass(slots=True)
class Reasons:
    """Why each commit stays; a commit without a reason goes."""

    by_commit: dict[CommitId, list[str]] = field(default_factory=dict)

    def add(self, commits: Iterable[Commit], reason: str) -> None:
        for commit in commits:
            self.by_commit.setdefault(commit.id, []).append(reason)

    def merge(self, others: Reasons) -> None:
        for commit, why in others.by_commit.items():
            known = self.by_commit.setdefault(commit, [])
            known += [reason for reason in why if reason not in known]

    def of(self, commit: Commit) -> list[str]:
        return self.by_commit.get(commit.id, [])


def reasons(keep: Keep, line: Sequence[Commit], now: datetime.datetime) -> Reasons:
    """Why the policy keeps commits of one ``line``, given newest first. ``now`` is what ``within`` counts from."""
    found = Reasons()
    if keep.keeps_all:
        found.add(line, "no rule")
        return found
    if keep.last is not None:
        found.add(_last(line, keep.last), f"last {keep.last}")
    if keep.every is not None:
        every = keep.every
        found.add((c for c in line if c.step is not None and c.step % every == 0), f"every {every}")
    if (span := keep.span()) is not None:
        found.add((c for c in line if now - c.time <= span), f"within {keep.within}")
    found.add((c for c in line if c.step in set(keep.milestones)), "milestone")
    for (direction, metric), count in keep.metrics().items():
        found.add(_best(line, direction, metric, count), f"best {direction}:{metric}")
    return found


def _last(line: Sequence[Commit], count: int) -> list[Commit]:
    """Commits from the newest on until ``count`` healthy ones are among them."""
    taken = []
    for commit in line:
        if count == 0:
            break
        taken.append(commit)
        count -= commit.healthy
    return taken


def _best(line: Sequence[Commit], direction: str, metric: str, count: int) -> list[Commit]:
    """The best by a metric; of equally good ones the newer. Not a number is never best."""
    measured = [c for c in line if not math.isnan(c.metrics.get(metric, math.nan))]
    sign = 1 if direction == "min" else -1
    return sorted(measured, key=lambda commit: sign * commit.metrics[metric])[:count]
