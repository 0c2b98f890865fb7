"""Peak memory that saving takes beyond a training that runs, in multiples of its state; a writer's own counts, too."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Figure, at_most
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.resident import peak_with_children, resident_bytes, settle
from benchmarks.stopwatch import in_fresh_process
from benchmarks.training.live import Live
from benchmarks.training.savers import COPY, OURS, SAVERS, opened
from benchmarks.workspace import scratch

TABLE = "peak extra memory of saving"
STATE_MB, SAVES = 500, 4
PROMISES = {OURS: 2.0, "deltackpt, memory low": 1.0}


def figures(options: Options) -> Iterator[Figure]:
    size = 100 if options.quick else STATE_MB
    for name in SAVERS:
        if name != COPY:
            say(f"{TABLE}: {name}")
            extra, state = in_fresh_process(_peak, name, size * 1_000_000)
            target = at_most(PROMISES[name]) if name in PROMISES else None
            yield Figure(TABLE, name, f"state of {size} MB", "MB", (extra / 1e6,))
            yield Figure(TABLE, name, "of the state", "x", (extra / state,), target)


def _peak(name: str, nbytes: int) -> tuple[int, int]:
    live = Live(nbytes)
    live.advance()
    settle()
    base = resident_bytes()

    def train() -> None:
        with scratch("training-memory") as folder, opened([name], live, folder) as savers:
            for _ in range(SAVES):
                live.advance()
                savers[name].save()
                savers[name].finish()

    return peak_with_children(train) - base, live.nbytes
