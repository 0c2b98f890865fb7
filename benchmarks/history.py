"""A thousand commits of a state of a hundred tensors: the fixed cost of a commit, and of reading the log.

One small tensor changes each time, so that what is measured is neither hashing nor encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.contenders import DeltackptStore
from benchmarks.contenders.deltackpt_store import log_command
from benchmarks.figures import Figure, at_most
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stopwatch import command_seconds, timed
from benchmarks.workspace import scratch, subfolder

TABLE, TENSORS, ELEMENTS = "many commits", 100, 1024
COMMIT_MS, LOG_SECONDS, FIRST_LOG_SECONDS = 10, 0.3, 0.25


def figures(options: Options) -> Iterator[Figure]:
    commits = 100 if options.quick else 1000
    say(f"{TABLE}: {commits}")
    with scratch("history") as folder:
        yield from _of_a_long_history(subfolder(folder, "long"), commits, max(5, options.repetitions))
        yield from _of_a_short_history(subfolder(folder, "short"), max(5, options.repetitions))


def _of_a_long_history(folder: Path, commits: int, repetitions: int) -> Iterator[Figure]:
    row = f"{commits:,} commits"
    contender = DeltackptStore(folder)
    costs = _commit_many(contender, commits)
    yield Figure(TABLE, row, "fixed cost of a commit", "ms", costs, at_most(COMMIT_MS))
    inside = tuple(timed(contender.log) for _ in range(repetitions))
    yield Figure(TABLE, row, "log, open store", "s", inside)
    contender.close()
    yield Figure(TABLE, row, "log, fresh process", "s", _log_seconds(folder, repetitions), at_most(LOG_SECONDS))
    yield Figure(TABLE, row, "store on disk", "MB", (contender.bytes_on_disk() / 1e6,))


def _of_a_short_history(folder: Path, repetitions: int) -> Iterator[Figure]:
    contender = DeltackptStore(folder)
    _commit_many(contender, 10)
    contender.close()
    seconds = _log_seconds(folder, repetitions)
    yield Figure(TABLE, "10 commits", "log, fresh process", "s", seconds, at_most(FIRST_LOG_SECONDS))


def _commit_many(contender: DeltackptStore, commits: int) -> tuple[float, ...]:
    """Milliseconds of each commit."""
    state = {f"layer.{i}": torch.randn(ELEMENTS) for i in range(TENSORS)}
    costs = []
    for step in range(commits):
        state[f"layer.{step % TENSORS}"].add_(1e-3)
        costs.append(1000 * timed(lambda step=step: contender.commit_state(state, step)))
    return tuple(costs)


def _log_seconds(folder: Path, repetitions: int) -> tuple[float, ...]:
    return tuple(command_seconds(log_command(folder)) for _ in range(repetitions))
