"""Commits beside a gc that takes nearly all of a store away: how long the longest had to wait.

The store has a hundred small chunks for each of its commits, of which ten are kept. One process commits again and again
to a branch of its own, first alone, then while ``deltackpt gc`` runs as a process beside it.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import DeltackptStore
from benchmarks.figures import Figure, at_most
from benchmarks.growth import CPU, TENSORS, small_state, sown
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stopwatch import in_fresh_process
from benchmarks.workspace import scratch, subfolder

TABLE, SIZES, KEPT, ALONE = "commits beside a gc", (300, 3_000), 10, 200
TARGET_MS = 50
# A training does something else between two commits.
PAUSE = 0.02


def figures(options: Options) -> Iterator[Figure]:
    for commits in SIZES[: 1 if options.quick else None]:
        say(f"{TABLE}: {commits:,} commits")
        with scratch("beside-gc") as folder:
            row = f"gc of {commits - KEPT:,} commits, {(commits - KEPT) * TENSORS:,} chunks"
            run = subfolder(folder, "run")
            in_fresh_process(sown, str(run / "store"), 0, commits)
            alone, beside, seconds, busy = in_fresh_process(_measured, run)
            yield Figure(TABLE, row, "gc", "s", (seconds,))
            yield Figure(TABLE, row, f"gc, {CPU}", "s", (busy,))
            for name, costs in (("alone", alone), ("beside", beside)):
                yield Figure(TABLE, row, f"commit {name}, median", "ms", (float(np.median(costs)),))
                yield Figure(TABLE, row, f"commit {name}, longest", "ms", (max(costs),))
            longer = max(beside) - float(np.median(alone))
            yield Figure(TABLE, row, "longest beside, over the median alone", "ms", (longer,), at_most(TARGET_MS))


def _measured(folder: Path) -> tuple[list[float], list[float], float, float]:
    """Milliseconds of the commits alone and beside, seconds of the gc, and those of the processor for it."""
    import deltackpt

    path = folder / "store"
    with deltackpt.Store(path) as store:
        store.prune(deltackpt.Keep(last=KEPT))
    contender = DeltackptStore(folder)
    # Python looks through all of its objects now and then: those of PyTorch take 120 ms, and have no part in this.
    gc.freeze()
    alone = _commits(contender, 0, lambda done: done < ALONE)
    began = time.perf_counter()
    command = [sys.executable, "-m", "deltackpt", "gc", "--store", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as collector:
        beside = _commits(contender, ALONE, lambda done: collector.poll() is None)
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    contender.close()
    return alone, beside, seconds, used.ru_utime + used.ru_stime


def _commits(contender: DeltackptStore, step: int, goes_on: Callable[[int], bool]) -> list[float]:
    rng = np.random.default_rng(step)
    costs: list[float] = []
    while goes_on(len(costs)):
        state: dict[str, Any] = small_state(rng)
        began = time.perf_counter()
        contender.commit_state(state, step + len(costs), branch="beside")
        costs.append(1000 * (time.perf_counter() - began))
        time.sleep(PAUSE)
    return costs
