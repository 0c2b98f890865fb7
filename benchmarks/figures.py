"""What a benchmark returns: figures, with every sample kept, and the targets they are held against."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from statistics import median


class Direction(enum.Enum):
    """Which side of a target is good."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should reach; compared with the median of its samples."""

    direction: Direction
    bound: float

    def met_by(self, value: float) -> bool:
        return value >= self.bound if self.direction is Direction.AT_LEAST else value <= self.bound

    def __str__(self) -> str:
        return f"{self.direction.value} {self.bound:g}"


def at_least(bound: float) -> Target:
    return Target(Direction.AT_LEAST, bound)


def at_most(bound: float) -> Target:
    return Target(Direction.AT_MOST, bound)


@dataclass(frozen=True, slots=True)
class Figure:
    """One cell of one table. No samples means that it could not be measured; ``note`` says why."""

    table: str
    row: str
    column: str
    unit: str
    samples: tuple[float, ...]
    target: Target | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """Median of all samples; none is ever dropped."""
        return median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.samples), max(self.samples)


def missing(table: str, row: str, column: str, why: str) -> Figure:
    """A cell that says why it is empty."""
    return Figure(table, row, column, "", (), note=why)
