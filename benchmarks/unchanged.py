"""A state that did not change since its last commit: all that is left to do is to see that."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.contenders import DeltackptStore
from benchmarks.figures import Figure, at_least
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.runs import Run, load, nbytes
from benchmarks.stopwatch import timed
from benchmarks.workspace import scratch

TABLE, TIMES, TARGET_GB_S = "unchanged state", 7, 3


def figures(options: Options) -> Iterator[Figure]:
    for run in options.runs:
        say(f"{TABLE}: {run.name}")
        speeds = _speeds(run)
        yield Figure(TABLE, run.title, "commit", "GB/s", speeds, at_least(TARGET_GB_S))


def _speeds(run: Run) -> tuple[float, ...]:
    state = load(run, 50)
    with scratch("unchanged") as folder:
        contender = DeltackptStore(folder)
        contender.commit_state(state, 0)
        return tuple(
            nbytes(state) / 1e9 / timed(lambda step=step: contender.commit_state(state, step))
            for step in range(1, TIMES + 1)
        )
