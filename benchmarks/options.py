"""What the command line chose, handed to every benchmark as one value."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.runs import Run


@dataclass(frozen=True, slots=True)
class Options:
    """``quick`` shortens what does not depend on a trained run: fewer commits, a smaller synthetic state."""

    runs: tuple[Run, ...]
    repetitions: int
    quick: bool
