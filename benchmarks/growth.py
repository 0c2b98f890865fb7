"""A store that grows: what a commit, a gc, a verify and the log cost when so much is there already.

Every commit brings a hundred new small chunks. Sizes triple from row to row, so that what follows
from the store's size shows. ``sower.py`` makes the commits; when a size is reached, a hundred more are made in the
ordinary way and measured. Each operation then has a process of its own, as on the command line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.contenders.contender import folder_bytes
from benchmarks.figures import Figure
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.report import render
from benchmarks.resident import anonymous_bytes, anonymous_peak_during, settle
from benchmarks.sower import sow
from benchmarks.stopwatch import in_fresh_process
from benchmarks.workspace import scratch

TABLE, TENSORS, ELEMENTS = "growth", 100, 80
# Of a machine that is shared this says more than the clock does.
CPU = "processor"
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
# So many commits more are measured.
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
            in_fresh_process(sown, str(store), made, size)
            yield from measured(store, size)
            made = size + MEASURED


def measured(store: Path, size: int) -> Iterator[Figure]:
    """What working with a store of ``size`` commits costs."""
    row = f"{size:,} commits, {size * TENSORS:,} chunks"
    costs, busy = in_fresh_process(_commit, str(store), size)
    yield Figure(TABLE, row, "commit", "ms", (1000 * median(costs),))
    yield Figure(TABLE, row, f"commit, {CPU}", "ms", (1000 * busy / MEASURED,))
    for name in OPERATIONS:
        seconds, busy, extra = in_fresh_process(_measured, str(store), name)
        yield Figure(TABLE, row, name, "s", (seconds,))
        yield Figure(TABLE, row, f"{name}, {CPU}", "s", (busy,))
        yield Figure(TABLE, row, f"{name}, memory", "MB", (extra / 1e6,))
    index = folder_bytes(store / "index")
    yield Figure(TABLE, row, "index", "MB", (index / 1e6,))
    yield Figure(TABLE, row, "log and packs", "MB", ((folder_bytes(store) - index) / 1e6,))


def sown(path: str, made: int, size: int) -> None:
    """The store at ``path``, which has ``made`` commits, grown to ``size``; made anew when that is 0."""
    import deltackpt

    if not made:
        with deltackpt.Store.init(path, reserve=0) as store:
            store.commit(small_state(np.random.default_rng()), step=0)
        made = 1
    sow(path, size - made)


def _commit(path: str, made: int) -> tuple[list[float], float]:
    """Seconds of each commit, and those of the processor for all."""
    import deltackpt

    rng = np.random.default_rng(made)
    costs = []
    busy = 0.0
    with deltackpt.Store(path) as store:
        for step in range(made, made + MEASURED):
            state = small_state(rng)
            began, worked = time.perf_counter(), time.process_time()
            store.commit(state, step=step)
            costs.append(time.perf_counter() - began)
            busy += time.process_time() - worked
    return costs, busy


def small_state(rng: np.random.Generator) -> dict[str, Any]:
    """A hundred tensors, new in every byte, each a chunk of its own."""
    return {f"layer.{i}": rng.random(ELEMENTS, np.float32) for i in range(TENSORS)}


def _log(store: Any) -> None:
    for _ in store.log("main"):
        pass


def _gc(store: Any) -> None:
    store.gc()


def _verify(store: Any) -> None:
    assert store.verify().ok


def _stats(store: Any) -> None:
    store.stats()


# Of the two that collect, the first finds what the log has carried inline since the last one, and moves it to packs.
ARCHIVING, COLLECTING = "gc that archives", "gc of one commit"
OPERATIONS: dict[str, Callable[[Any], None]] = {
    "log": _log,
    "quick verify": _verify,
    ARCHIVING: _gc,
    COLLECTING: _gc,
    "stats": _stats,
}


def _measured(path: str, name: str) -> tuple[float, float, int]:
    """Seconds, those of the processor, extra memory of an operation; before a gc the last commit but one is deleted."""
    import deltackpt

    with deltackpt.Store(path) as store:
        if OPERATIONS[name] is _gc:
            store.delete("main~1")
        settle()
        base = anonymous_bytes()
        began, worked = time.perf_counter(), time.process_time()
        peak = anonymous_peak_during(lambda: OPERATIONS[name](store))
        return time.perf_counter() - began, time.process_time() - worked, peak - base


if __name__ == "__main__":
    found = list(grown([size for size in SIZES if size <= int(sys.argv[1])]))
    print(render(found))
    if len(sys.argv) > 2:
        from benchmarks.growth_plot import plot

        plot(found, Path(sys.argv[2]))
