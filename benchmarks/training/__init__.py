"""Saving while training: how long the loop waits, the steps it loses, how fast it resumes, what memory it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.figures import Figure
from benchmarks.options import Options
from benchmarks.training import memory, pace, resume, stall

TABLES: dict[str, Callable[[Options], Iterator[Figure]]] = {
    "stall": stall.figures,
    "pace": pace.figures,
    "resume": resume.figures,
    "training-memory": memory.figures,
}
