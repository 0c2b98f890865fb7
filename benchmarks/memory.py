"""Peak extra memory of a commit and of a checkout: beyond the interpreter, its imports and the caller's state.

One fresh process for each contender. The second commit is measured, when there is something to be a delta
against; what a contender keeps in memory between commits counts. A program that a contender starts counts with
its own peak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.figures import Figure, missing
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.resident import children_peak_during, peak_during, resident_bytes, settle
from benchmarks.runs import Run
from benchmarks.snapshot import take
from benchmarks.stopwatch import in_fresh_process
from benchmarks.workspace import scratch

STEPS = (50, 60)


def figures(options: Options) -> Iterator[Figure]:
    for run in options.runs:
        table = f"peak extra memory: {run.title}"
        for contender in CONTENDERS:
            why = contender.absent()
            if why is not None:
                yield missing(table, contender.name, "commit", why)
                continue
            yield from _of_one(table, run, contender, options.repetitions)


def _of_one(table: str, run: Run, contender: type[Contender], repetitions: int) -> Iterator[Figure]:
    say(f"{table}: {contender.name}")
    index = CONTENDERS.index(contender)
    samples = [in_fresh_process(_peaks, index, run.name) for _ in range(repetitions)]
    yield Figure(table, contender.name, "commit", "MB", tuple(commit / 1e6 for commit, _ in samples))
    yield Figure(table, contender.name, "checkout", "MB", tuple(checkout / 1e6 for _, checkout in samples))


def _peaks(contender: int, run: str) -> tuple[int, int]:
    """Extra bytes of the second commit and of its checkout, in this process."""
    with scratch("memory") as folder:
        base = _at_rest(run, folder)
        kept = CONTENDERS[contender](folder)
        kept.commit(take(run, STEPS[0], folder))
        committed = _peak_of_commit(kept, run, folder, base)
        return committed, _peak(lambda: kept.checkout(STEPS[1], folder / "out.safetensors"), base)


def _at_rest(run: str, folder: Path) -> int:
    """Resident bytes once everything that loads a state has been imported and used."""
    take(run, STEPS[0], folder)
    settle()
    return resident_bytes()


def _peak_of_commit(kept: Contender, run: str, folder: Path, base: int) -> int:
    snapshot = take(run, STEPS[1], folder)
    return _peak(lambda: kept.commit(snapshot), base + snapshot.nbytes)


def _peak(action: Callable[[], object], expected: int) -> int:
    """Bytes beyond ``expected``, or of a program that ``action`` starts, whichever is more."""
    settle()
    own: list[int] = []
    children = children_peak_during(lambda: own.append(peak_during(action)))
    return max(own[0] - expected, children)
