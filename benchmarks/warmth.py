"""The same commit by a process that made the commit before, and by one that just started.

A process that just started has to decode the base from the store. Loading the state is not timed, opening the
store is. Both kinds take turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.contenders import DeltackptStore
from benchmarks.figures import Figure
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.runs import Run, load, nbytes
from benchmarks.stopwatch import in_fresh_process, timed
from benchmarks.workspace import scratch, subfolder

TABLE, STEPS = "commit, warm and fresh", (50, 60)


def figures(options: Options) -> Iterator[Figure]:
    for run in options.runs:
        say(f"{TABLE}: {run.name}")
        samples = [_both(run) for _ in range(options.repetitions)]
        yield Figure(TABLE, run.title, "warm", "MB/s", tuple(warm for warm, _ in samples))
        yield Figure(TABLE, run.title, "fresh process", "MB/s", tuple(fresh for _, fresh in samples))


def _both(run: Run) -> tuple[float, float]:
    with scratch("warmth") as folder:
        warm = in_fresh_process(_commit_all, subfolder(folder, "warm"), run.name, STEPS)
        in_fresh_process(_commit_all, subfolder(folder, "fresh"), run.name, STEPS[:1])
        return warm, in_fresh_process(_commit_all, folder / "fresh", run.name, STEPS[1:])


def _commit_all(folder: Path, run: str, steps: tuple[int, ...]) -> float:
    """MB/s of the last of ``steps``, all committed by this process; a store of its own unless one is there."""
    opened: list[DeltackptStore] = []
    for step in steps:
        state = load(run, step)
        seconds = timed(lambda state=state, step=step: _commit(opened, folder, state, step))
    return nbytes(state) / 1e6 / seconds


def _commit(opened: list[DeltackptStore], folder: Path, state: object, step: int) -> None:
    if not opened:
        opened.append(DeltackptStore(folder))
    opened[0].commit_state(state, step)
