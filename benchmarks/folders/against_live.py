"""The table *folder-speed*: the same tensors as files and as a live state, in turn.

The files are folders that trainers wrote, or single files; the live state is checked out to one safetensors file.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.contenders import DeltackptStore
from benchmarks.contenders.contender import folder_bytes
from benchmarks.contenders.durable import sync_file, sync_folder
from benchmarks.figures import Figure, at_least, missing
from benchmarks.folders.subjects import SUBJECTS, Checkpoints, Subject
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stopwatch import rotated, timed
from benchmarks.workspace import scratch, subfolder

AS_FILES, AS_STATE = "as files", "as a live state"
COMMIT, CHECKOUT = "commit, later", "checkout, later"
TARGET = 0.85
Samples = dict[tuple[str, str], list[float]]


def figures(options: Options) -> Iterator[Figure]:
    for subject in SUBJECTS:
        table = f"folder-speed: {subject.title}"
        if why := subject.absent():
            yield missing(table, AS_FILES, COMMIT, why)
            continue
        say(table)
        with scratch("files") as folder:
            checkpoints = subject.checkpoints(folder)[: 3 if options.quick else None]
            yield from _figures(table, subject, checkpoints, options.repetitions)


def _figures(table: str, subject: Subject, checkpoints: Checkpoints, repetitions: int) -> Iterator[Figure]:
    samples: Samples = defaultdict(list)
    for _ in range(repetitions):
        sizes = _measure(subject, checkpoints, samples)
    for name in (AS_STATE, AS_FILES):
        yield Figure(table, name, f"bytes of {len(checkpoints)}", "MB", (sizes[name] / 1e6,))
    for what in (COMMIT, CHECKOUT):
        for name in (AS_STATE, AS_FILES):
            yield Figure(table, name, what, "MB/s", tuple(samples[name, what]))
        pairs = zip(samples[AS_FILES, what], samples[AS_STATE, what], strict=True)
        ratios = tuple(a / b for a, b in pairs)
        yield Figure(table, AS_FILES, f"{what}, of a live state's", "x", ratios, at_least(TARGET))


def _measure(subject: Subject, checkpoints: Checkpoints, samples: Samples) -> dict[str, int]:
    """Adds to ``samples``; the bytes that each of the two stores has in the end."""
    with scratch("folder-speed") as folder:
        stores = {name: DeltackptStore(subfolder(folder, name)) for name in (AS_FILES, AS_STATE)}
        for turn, (step, path) in enumerate(checkpoints):
            state = subject.live(step, path)
            actions = {
                AS_FILES: lambda p=path, s=step: stores[AS_FILES].keep(p, s),
                AS_STATE: lambda x=state, s=step: stores[AS_STATE].commit_state(x, s),
            }
            _in_turn(turn, COMMIT, actions, _bytes_of(path), samples)
        for turn, (step, path) in enumerate(checkpoints):
            target = subfolder(folder, "target")
            actions = {
                AS_FILES: lambda p=path, s=step, t=target: _files(stores[AS_FILES], p, s, t),
                AS_STATE: lambda s=step, t=target / "state": _file(stores[AS_STATE], s, t),
            }
            _in_turn(turn, CHECKOUT, actions, _bytes_of(path), samples)
            shutil.rmtree(target)
        return {name: store.bytes_on_disk() for name, store in stores.items()}


def _in_turn(turn: int, what: str, actions: Mapping[str, Callable[[], object]], nbytes: int, samples: Samples) -> None:
    for name in rotated(list(actions), turn):
        seconds = timed(actions[name])
        # The first commit has no base, and its checkout decodes none.
        if turn:
            samples[name, what].append(nbytes / 1e6 / seconds)


def _files(store: DeltackptStore, path: Path, step: int, target: Path) -> None:
    store.restore(path, step, target)
    sync_folder(target)


def _file(store: DeltackptStore, step: int, path: Path) -> None:
    store.checkout(step, path)
    sync_file(path)


def _bytes_of(path: Path) -> int:
    return folder_bytes(path) if path.is_dir() else path.stat().st_size
