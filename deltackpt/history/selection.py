"""Choosing among commits by their metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deltackpt.errors import InvalidInputError
from deltackpt.history.commits import Commit
from deltackpt.history.resolve import RefNotFoundError

_GOAL = re.compile(r"(min|max):(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Goal:
    """A metric and the direction in which it gets better, written ``min:val_loss`` or ``max:accuracy``."""

    metric: str
    least: bool

    @classmethod
    def parse(cls, text: str) -> Goal:
        match = _GOAL.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise InvalidInputError(f"{text!r} is no goal; write min:METRIC or max:METRIC, such as min:val_loss")
        return cls(match[2], match[1] == "min")

    def better(self, value: float, than: float | None) -> bool:
        """Whether ``value`` beats ``than``; not a number beats nothing."""
        if math.isnan(value):
            return False
        return than is None or (value < than if self.least else value > than)


def best(commits: Iterable[Commit], goal: Goal) -> Commit:
    """The best of ``commits``, which stand newest first; of equally good ones the newest. RefNotFoundError."""
    found: Commit | None = None
    names: set[str] = set()
    for commit in commits:
        names.update(commit.metrics)
        value = commit.metrics.get(goal.metric, math.nan)
        if goal.better(value, found.metrics[goal.metric] if found is not None else None):
            found = commit
    if found is None:
        known = f"; metrics are {', '.join(map(repr, sorted(names)[:6]))}" if names else "; no commit has metrics"
        raise RefNotFoundError(f"no commit has a metric {goal.metric!r}{known}")
    return found


@dataclass(frozen=True, slots=True)
class Compared:
    """A commit's value of a metric, None where it has none, and how far that is from the first commit's."""

    commit: Commit
    value: float | None
    difference: float | None


def compare(commits: Sequence[Commit], metric: str) -> list[Compared]:
    """A row for each commit, in their order."""
    values = [commit.metrics.get(metric) for commit in commits]
    first = values[0] if values else None
    return [
        Compared(commit, value, value - first if value is not None and first is not None else None)
        for commit, value in zip(commits, values, strict=True)
    ]


def between(line: Iterable[Commit], first: Commit) -> list[Commit]:
    """The commits of ``line``, which stands newest first, from ``first`` on, oldest first. RefNotFoundError."""
    found: list[Commit] = []
    for commit in line:
        found.append(commit)
        if commit.id == first.id:
            return found[::-1]
    newest = found[0].description if found else "nothing"
    raise RefNotFoundError(f"commit {first.description} is not on the line of {newest}; begin at one of its parents")


def ranked(commits: Iterable[Commit], metric: str, *, greatest_first: bool = False) -> list[Commit]:
    """Those of ``commits`` that have the metric (or step), best first; not a number comes last."""
    measured = [(value, commit) for commit in commits if (value := _value(commit, metric)) is not None]
    numbers = [pair for pair in measured if not math.isnan(pair[0])]
    others = [pair for pair in measured if math.isnan(pair[0])]
    return [commit for _, commit in sorted(numbers, key=lambda p: p[0], reverse=greatest_first) + others]


def _value(commit: Commit, metric: str) -> float | None:
    return commit.step if metric == "step" else commit.metrics.get(metric)
