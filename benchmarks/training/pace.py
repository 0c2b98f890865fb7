"""How many steps a training makes in a minute while a save is always under way, beside how many without any.

Windows with and without saving take turns, so that what else the machine does falls on both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.figures import Figure, at_least
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stopwatch import in_fresh_process
from benchmarks.training.live import Live
from benchmarks.training.savers import COPY, OURS, SAVERS, Saver, opened
from benchmarks.workspace import scratch

STATE_BYTES = 100_000_000
WINDOWS, SECONDS, TARGET = 3, 10.0, 90
NONE = "without saving"


def figures(options: Options) -> Iterator[Figure]:
    for threads in (1, 2):
        say(f"pace: {threads} torch threads")
        table = f"training while saving, {threads} torch {'thread' if threads == 1 else 'threads'}"
        names = [name for name in SAVERS if name != COPY]
        windows, seconds = (1, 3.0) if options.quick else (WINDOWS, SECONDS)
        found = in_fresh_process(partial(_paces, names, threads, windows, seconds))
        yield Figure(table, NONE, "steps a minute", "", tuple(pace for pace, _ in found[NONE]))
        for name in names:
            target = at_least(TARGET) if name == OURS else None
            shares = tuple(100 * a / b for (a, _), (b, _) in zip(found[name], found[NONE], strict=True))
            yield Figure(table, name, "steps a minute", "", tuple(pace for pace, _ in found[name]))
            yield Figure(table, name, "of those without", "%", shares, target)
            yield Figure(table, name, "saves a minute", "", tuple(saves for _, saves in found[name]))


def _paces(names: list[str], threads: int, windows: int, seconds: float) -> dict[str, list[tuple[float, float]]]:
    """Steps and saves a minute of every window, by saver."""
    torch.set_num_threads(threads)
    live = Live(STATE_BYTES)
    live.advance()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in (NONE, *names)}
    with scratch("pace") as folder, opened(names, live, folder) as savers:
        for saver in savers.values():
            saver.save()
            saver.finish()
        for _ in range(windows):
            found[NONE].append(_window(live, None, seconds))
            for name, saver in savers.items():
                found[name].append(_window(live, saver, seconds))
                saver.finish()
    return found


def _window(live: Live, saver: Saver | None, seconds: float) -> tuple[float, float]:
    steps = saves = 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        live.advance()
        steps += 1
        if saver is not None and saver.idle():
            saver.save()
            saver.tidy()
            saves += 1
    return 60 * steps / passed, 60 * saves / passed
