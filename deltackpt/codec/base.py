"""What a delta may be taken against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Base:
    """A candidate base. ``cost``: nanoseconds to decode one plain byte of it, its own chain included."""

    plain: memoryview
    cost: float
