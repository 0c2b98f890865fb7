"""When to save: every so many steps, every so much time, at milestones, and when a metric got better."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deltackpt.errors import InvalidInputError
from deltackpt.history.selection import Goal
from deltackpt.maintenance.keep import Keep

Every = int | str | Iterable[int | str] | None

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|m|min|h)")
_SECONDS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(slots=True)
class Schedule:
    """Which completed steps are saved. ``steps`` and ``seconds`` are intervals, None for none."""

    steps: int | None
    seconds: float | None
    milestones: Collection[int]
    goals: tuple[Goal, ...]
    _best: dict[Goal, float] = field(default_factory=dict)
    _before: dict[Goal, float] = field(default_factory=dict)
    _saved: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, every: Every, keep: Keep | None) -> Schedule:
        """``every``: steps, a duration such as "10min", or both; and what ``keep`` wants saved by itself."""
        given = (every,) if isinstance(every, int | str) else tuple(every or ())
        steps = [_steps(value) for value in given if isinstance(value, int)]
        seconds = [_seconds(value) for value in given if not isinstance(value, int)]
        goals = () if keep is None else tuple(Goal(name, way == "min") for way, name, _ in keep.metrics())
        milestones = () if keep is None else keep.milestones
        return cls(min(steps, default=None), min(seconds, default=None), frozenset(milestones), goals)

    def reason(self, completed: int, metrics: Mapping[str, Any]) -> str | None:
        """Why the step just completed is to be saved, empty for an interval, or None."""
        improved = [goal.metric for goal in self.goals if self._value(goal, metrics) is not None]
        if improved:
            return f"best {improved[0]}"
        if completed in self.milestones:
            return "milestone"
        if self.steps is not None and completed % self.steps == 0:
            return ""
        if self.seconds is not None and time.monotonic() - self._saved >= self.seconds:
            return ""
        return None

    def saved(self) -> None:
        """A snapshot was taken: the time to the next one begins."""
        self._saved = time.monotonic()

    def known(self, saved: Iterable[Mapping[str, Any]]) -> None:
        """Metrics of states that are saved, each of one: what comes must beat them all."""
        self._before = dict(self._best)
        for metrics in saved:
            for goal in self.goals:
                if (value := self._value(goal, metrics)) is not None:
                    self._best[goal] = value

    def lost(self) -> None:
        """What was known last was not saved after all, and is not the one to beat."""
        self._best = dict(self._before)

    def _value(self, goal: Goal, metrics: Mapping[str, Any]) -> float | None:
        """A value that is better than all before."""
        value = float(metrics.get(goal.metric, math.nan))
        return value if goal.better(value, self._best.get(goal)) else None


def _steps(value: int) -> int:
    if isinstance(value, bool) or value < 1:
        raise InvalidInputError(f"every is a number of steps, at least 1, or a duration such as '10min', not {value!r}")
    return value


def _seconds(text: object) -> float:
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise InvalidInputError(f"every is a number of steps or a duration such as '90s', '10min', '2h', not {text!r}")
    return float(match[1]) * _SECONDS[match[2]]
