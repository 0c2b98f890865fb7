"""Bytes left, commit speed and checkout speed of every contender, side by side.

For each spacing of each run, and for each repetition: every contender starts empty; for each step the state
is loaded once and all contenders commit it in turn; then every step is checked out by all in turn. The order
rotates from step to step. All input is in the page cache; checkouts are synced, checked and
removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.contenders.durable import sync_file
from benchmarks.progress import say
from benchmarks.runs import Run, Spacing
from benchmarks.snapshot import Snapshot, missing_tensors, take
from benchmarks.stopwatch import rotated, timed
from benchmarks.workspace import scratch, subfolder


@dataclass(slots=True)
class Series:
    """One contender over one spacing of one run. Speeds in MB/s of plain bytes, sizes in bytes.

    ``commits[i]``, ``checkouts[i]`` hold a sample for each repetition of the i-th step; ``sizes[i]`` is the
    size on disk after the i-th commit, the same in each repetition but for the few bytes that hold the time.
    """

    contender: str
    plain: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    commits: list[list[float]] = field(default_factory=list)
    checkouts: list[list[float]] = field(default_factory=list)
    lost_tensors: int = 0

    def speeds(self, samples: list[list[float]], steps: slice) -> tuple[float, ...]:
        """Every sample of the chosen steps."""
        return tuple(speed for step in samples[steps] for speed in step)


def measure(run: Run, spacing: Spacing, repetitions: int, *, checkouts: bool) -> list[Series]:
    """All contenders that are present, over one spacing of one run; commits only unless ``checkouts``."""
    present = [c for c in CONTENDERS if c.absent() is None]
    series = {c.name: _empty_series(c.name, len(spacing.steps)) for c in present}
    for repetition in range(repetitions):
        say(f"{run.name}, {spacing.value} apart: repetition {repetition + 1} of {repetitions}")
        with scratch(run.name) as folder:
            contenders = [c(subfolder(folder, f"contender-{i}")) for i, c in enumerate(present)]
            _commit_all(run, spacing, folder, contenders, series)
            if checkouts:
                _check_out_all(run, spacing, folder, contenders, series)
    return list(series.values())


def _empty_series(name: str, steps: int) -> Series:
    return Series(name, [0] * steps, [0] * steps, [[] for _ in range(steps)], [[] for _ in range(steps)])


def _commit_all(
    run: Run, spacing: Spacing, folder: Path, contenders: Sequence[Contender], series: dict[str, Series]
) -> None:
    for i, step in enumerate(spacing.steps):
        _commit_in_turn(i, take(run.name, step, folder), contenders, series)


def _check_out_all(
    run: Run, spacing: Spacing, folder: Path, contenders: Sequence[Contender], series: dict[str, Series]
) -> None:
    for i, step in enumerate(spacing.steps):
        snapshot = take(run.name, step, folder)
        for contender in rotated(contenders, i):
            _check_out(i, snapshot, contender, series[contender.name], folder / "out.safetensors")


def _commit_in_turn(i: int, snapshot: Snapshot, contenders: Sequence[Contender], series: dict[str, Series]) -> None:
    for contender in rotated(contenders, i):
        seconds = timed(lambda c=contender: c.commit(snapshot))
        mine = series[contender.name]
        mine.commits[i].append(snapshot.nbytes / 1e6 / seconds)
        mine.plain[i], mine.sizes[i] = snapshot.nbytes, contender.bytes_on_disk()


def _check_out(i: int, snapshot: Snapshot, contender: Contender, series: Series, out: Path) -> None:
    seconds = timed(lambda: _durable_checkout(contender, snapshot.step, out))
    series.checkouts[i].append(snapshot.nbytes / 1e6 / seconds)
    series.lost_tensors += missing_tensors(snapshot, out)
    out.unlink()


def _durable_checkout(contender: Contender, step: int, out: Path) -> None:
    contender.checkout(step, out)
    sync_file(out)


def absentees() -> Iterator[tuple[str, str]]:
    """``(name, why)`` of every contender that cannot run here."""
    for contender in CONTENDERS:
        why = contender.absent()
        if why is not None:
            yield contender.name, why
