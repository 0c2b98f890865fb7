"""The tables *size*, *commit* and *checkout*: what :mod:`benchmarks.peers` measured, as figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

from benchmarks.contenders import Borg, DeltackptStore
from benchmarks.figures import Figure, at_least, at_most, missing
from benchmarks.options import Options
from benchmarks.peers import Series, absentees, measure
from benchmarks.runs import Run, Spacing

TABLES = ("size", "commit", "checkout")
FIRST, LATER = slice(0, 1), slice(1, None)
COMMIT_TARGET, COMMIT_OVER_BORG, DELTA_CHECKOUT, KEYFRAME_CHECKOUT = 450, 2, 500, 900


def figures(options: Options, tables: set[str]) -> Iterator[Figure]:
    """Figures of the chosen ``tables``, run by run; contenders that are not there are rows that say so."""
    makers: dict[str, Callable[[Run, Spacing, list[Series]], Iterator[Figure]]] = {
        "size": _sizes,
        "commit": _commits,
        "checkout": _checkouts,
    }
    for run in options.runs:
        for spacing in Spacing:
            repetitions = options.repetitions if spacing is Spacing.TEN else 1
            measured = measure(run, spacing, repetitions, checkouts="checkout" in tables)
            for table in TABLES:
                if table in tables:
                    yield from makers[table](run, spacing, measured)
                    yield from _absent(f"{table}: {run.title}")


def _sizes(run: Run, spacing: Spacing, measured: list[Series]) -> Iterator[Figure]:
    table = f"size: {run.title}"
    for s in measured:
        later = 100 * (s.sizes[-1] - s.sizes[0]) / sum(s.plain[1:])
        if spacing is Spacing.TEN:
            yield Figure(table, s.contender, f"whole run of {len(s.sizes)}", "MB", (s.sizes[-1] / 1e6,))
            yield Figure(table, s.contender, "first commit", "%", (100 * s.sizes[0] / s.plain[0],))
        yield Figure(table, s.contender, f"later, {spacing.value} apart", "%", (later,))
    if spacing is Spacing.TEN:
        yield from _against_borg(table, run, measured)


def _against_borg(table: str, run: Run, measured: list[Series]) -> Iterator[Figure]:
    ours, borg = _named(measured, DeltackptStore.name), _named(measured, Borg.name)
    if ours and borg and run.byte_target:
        share = ours.sizes[-1] / borg.sizes[-1]
        yield Figure(table, ours.contender, "of borg's bytes", "", (share,), at_most(run.byte_target))


def _commits(run: Run, spacing: Spacing, measured: list[Series]) -> Iterator[Figure]:
    table = f"commit: {run.title}"
    for s in measured:
        target = at_least(COMMIT_TARGET) if s.contender == DeltackptStore.name else None
        if spacing is Spacing.TEN:
            yield Figure(table, s.contender, "first", "MB/s", s.speeds(s.commits, FIRST))
        yield Figure(table, s.contender, f"later, {spacing.value} apart", "MB/s", s.speeds(s.commits, LATER), target)
    if spacing is Spacing.TEN:
        yield from _faster_than_borg(table, measured)


def _faster_than_borg(table: str, measured: list[Series]) -> Iterator[Figure]:
    """Ratio of medians step by step: both committed the same state seconds apart."""
    ours, borg = _named(measured, DeltackptStore.name), _named(measured, Borg.name)
    if ours and borg:
        pairs = zip(ours.commits[1:], borg.commits[1:], strict=True)
        ratios = tuple(median(a) / median(b) for a, b in pairs)
        yield Figure(table, ours.contender, "later, over borg's", "x", ratios, at_least(COMMIT_OVER_BORG))


def _checkouts(run: Run, spacing: Spacing, measured: list[Series]) -> Iterator[Figure]:
    table = f"checkout: {run.title}"
    for s in measured:
        store = s.contender == DeltackptStore.name
        if spacing is Spacing.TEN:
            first = s.speeds(s.checkouts, FIRST)
            yield Figure(table, s.contender, "first", "MB/s", first, at_least(KEYFRAME_CHECKOUT) if store else None)
        later = s.speeds(s.checkouts, LATER)
        target = at_least(DELTA_CHECKOUT) if store else None
        yield Figure(table, s.contender, f"later, {spacing.value} apart", "MB/s", later, target)
        if spacing is Spacing.TEN or s.lost_tensors:
            yield Figure(table, s.contender, f"tensors not bit-identical, {spacing.value} apart", "", (s.lost_tensors,))


def _absent(table: str) -> Iterator[Figure]:
    for name, why in absentees():
        yield missing(table, name, f"later, {Spacing.TEN.value} apart", why)


def _named(measured: list[Series], name: str) -> Series | None:
    return next((s for s in measured if s.contender == name), None)
