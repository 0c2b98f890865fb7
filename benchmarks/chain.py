"""Checkout at the start of a delta chain, one link from it, and where the chain is longest.

The states of a run are committed to and fro (50, 60 ... 100, 90 ... 50, 60 ...) until chains had every chance to
reach the length that the store allows. Each checkout is measured in a process that has the store open and in one
that just started; opening the store is timed there, starting Python is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import DeltackptStore
from benchmarks.figures import Figure, Target, at_least
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.runs import Run, Spacing, load, nbytes
from benchmarks.stopwatch import in_fresh_process, timed
from benchmarks.workspace import scratch

COMMITS, QUICK_COMMITS = 14, 4
DELTA_MB_S, KEYFRAME_MB_S = 500, 900


@dataclass(frozen=True, slots=True)
class Place:
    """A commit. ``mean`` is the chain length over the bytes of its chunks, ``longest`` that of any chunk."""

    step: int
    mean: float
    longest: int


def figures(options: Options) -> Iterator[Figure]:
    for run in options.runs:
        table = f"checkout by chain length: {run.title}"
        say(table)
        with scratch("chain") as folder:
            yield from _of_one_run(table, run, folder, options)


def _of_one_run(table: str, run: Run, folder: Path, options: Options) -> Iterator[Figure]:
    size = nbytes(load(run, Spacing.TEN.steps[0]))
    places = _commit_to_and_fro(run, folder, QUICK_COMMITS if options.quick else COMMITS)
    contender = DeltackptStore(folder)
    for row, place, target in _chosen(places):
        seconds = [_both(contender, place.step, folder) for _ in range(options.repetitions)]
        yield Figure(table, row, "chain length, mean", "", (place.mean,))
        yield Figure(table, row, "longest chain of a chunk", "", (place.longest,))
        yield Figure(table, row, "warm", "MB/s", tuple(size / 1e6 / warm for warm, _ in seconds), target)
        yield Figure(table, row, "fresh process", "MB/s", tuple(size / 1e6 / fresh for _, fresh in seconds), target)


def _commit_to_and_fro(run: Run, folder: Path, commits: int) -> list[Place]:
    contender = DeltackptStore(folder)
    forth = Spacing.TEN.steps
    cycle = [*forth, *reversed(forth[1:-1])]
    for number in range(commits):
        contender.commit_state(load(run, cycle[number % len(cycle)]), number)
    places = [Place(number, *contender.chain_length(number)) for number in range(commits)]
    contender.close()
    return places


def _chosen(places: Sequence[Place]) -> Iterator[tuple[str, Place, Target]]:
    deepest = max(places, key=lambda place: place.mean)
    yield "keyframes", places[0], at_least(KEYFRAME_MB_S)
    yield "one link", places[1], at_least(DELTA_MB_S)
    yield f"longest, commit {deepest.step + 1} of {len(places)}", deepest, at_least(DELTA_MB_S)


def _both(contender: DeltackptStore, step: int, folder: Path) -> tuple[float, float]:
    """Seconds with the store open, seconds in a fresh process."""
    out = folder / "out.safetensors"
    return timed(lambda: contender.checkout(step, out)), in_fresh_process(_check_out, folder, step)


def _check_out(folder: Path, step: int) -> float:
    return timed(lambda: DeltackptStore(folder).checkout(step, folder / "out.safetensors"))
