"""A store that grows: what a commit, a gc, a verify and the log cost when so much is there already.

Every commit brings a hundred new small chunks. Sizes triple from row to row, so that what follows
from the store's size shows. Each operation but the commit has a process of its own, as on the command line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks.contenders.contender import folder_bytes
from benchmarks.figures import Figure
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.report import render
from benchmarks.resident import peak_during, resident_bytes, settle
from benchmarks.stopwatch import in_fresh_process
from benchmarks.workspace import scratch

TABLE, TENSORS, ELEMENTS = "growth", 100, 80
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
# Of the commits before a size is reached, so many are measured.
MEASURED = 100


def figures(options: Options) -> Iterator[Figure]:
    """Up to 3,000 commits: ``python -m benchmarks.growth COMMITS`` goes on."""
    yield from grown(SIZES[:1] if options.quick else SIZES[:2])


def grown(sizes: Sequence[int]) -> Iterator[Figure]:
    with scratch("growth") as folder:
        store = folder / "store"
        made = 0
        for size in sizes:
            say(f"{TABLE}: {size:,} commits")
            row = f"{size:,} commits, {size * TENSORS:,} chunks"
            costs = in_fresh_process(_commit_up_to, str(store), made, size)
            yield Figure(TABLE, row, "commit", "ms", (1000 * median(costs[-MEASURED:]),))
            for name in OPERATIONS:
                seconds, extra = in_fresh_process(_measured, str(store), name)
                yield Figure(TABLE, row, name, "s", (seconds,))
                yield Figure(TABLE, row, f"{name}, memory", "MB", (extra / 1e6,))
            yield Figure(TABLE, row, "index", "MB", (folder_bytes(store / "index") / 1e6,))
            yield Figure(
                TABLE, row, "log and packs", "MB", ((folder_bytes(store) - folder_bytes(store / "index")) / 1e6,)
            )
            made = size


def _commit_up_to(path: str, made: int, size: int) -> list[float]:
    """Seconds of each commit."""
    import deltackpt

    rng = np.random.default_rng(made)
    costs = []
    with deltackpt.Store(path) if made else deltackpt.Store.init(path, reserve=0) as store:
        for step in range(made, size):
            state = {f"layer.{i}": rng.random(ELEMENTS, np.float32) for i in range(TENSORS)}
            began = time.perf_counter()
            store.commit(state, step=step)
            costs.append(time.perf_counter() - began)
    return costs


def _log(store: Any) -> None:
    for _ in store.log("main"):
        pass


def _gc(store: Any) -> None:
    store.gc()


def _verify(store: Any) -> None:
    assert store.verify().ok


OPERATIONS: dict[str, Callable[[Any], None]] = {"log": _log, "gc": _gc, "verify": _verify}


def _measured(path: str, name: str) -> tuple[float, int]:
    """Seconds and extra memory of an operation on a store whose last commit but one was just deleted."""
    import deltackpt

    with deltackpt.Store(path) as store:
        if name == "gc":
            store.delete("main~1")
        settle()
        base = resident_bytes()
        began = time.perf_counter()
        peak = peak_during(lambda: OPERATIONS[name](store))
        return time.perf_counter() - began, peak - base


if __name__ == "__main__":
    print(render(list(grown([size for size in SIZES if size <= int(sys.argv[1])]))))
