"""How long a training waits for a save: all savers in turn on the same state, which changes by a step each turn."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Figure, at_most
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stopwatch import rotated, timed
from benchmarks.training.live import Live
from benchmarks.training.savers import COPY, OURS, SAVERS, opened
from benchmarks.workspace import scratch

SIZES_MB = (100, 300, 1000, 2000)
TURNS, TARGET_OF_COPY = 6, 1.2


def figures(options: Options) -> Iterator[Figure]:
    for size in SIZES_MB[: 1 if options.quick else None]:
        say(f"stall: {size} MB")
        measured = _stalls(size * 1_000_000, 3 if options.quick else TURNS)
        table = f"stall of a save: state of {size} MB"
        for name, seconds in measured.items():
            later = tuple(1e3 * second for second in seconds[1:])
            yield Figure(table, name, "first save", "ms", (1e3 * seconds[0],))
            yield Figure(table, name, "later saves", "ms", later)
            copies = measured[COPY][1:]
            ratios = tuple(a / b for a, b in zip(seconds[1:], copies, strict=True))
            target = at_most(TARGET_OF_COPY) if name == OURS else None
            yield Figure(table, name, "of a plain copy", "x", ratios, target)


def _stalls(nbytes: int, turns: int) -> dict[str, list[float]]:
    """Seconds of every save by saver. The next begins when nothing goes on behind the loop any more."""
    live = Live(nbytes)
    live.advance()
    stalls: dict[str, list[float]] = {name: [] for name in SAVERS}
    with scratch("stall") as folder, opened(list(SAVERS), live, folder) as savers:
        for turn in range(turns):
            live.advance()
            for name in rotated(list(savers), turn):
                stalls[name].append(timed(savers[name].save))
                savers[name].finish()
                savers[name].tidy()
    return stalls
