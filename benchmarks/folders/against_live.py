"""The table *folder-speed*: the same tensors as a folder of files and as a live state, in turn.

The live state is what ``from_pretrained`` and ``torch.load`` would have of the folder; it is checked out to one
safetensors file.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.contenders import DeltackptStore
from benchmarks.contenders.contender import folder_bytes
from benchmarks.contenders.durable import sync_file, sync_folder
from benchmarks.figures import Figure, at_least, missing
from benchmarks.folders.runs import TRAINER
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stopwatch import rotated, timed
from benchmarks.workspace import scratch, subfolder

TABLE = f"folder-speed: {TRAINER.title}"
AS_FOLDER, AS_STATE = "as a folder", "as a live state"
COMMIT, CHECKOUT = "commit, later", "checkout, later"
TARGET = 0.85
Samples = dict[tuple[str, str], list[float]]


def figures(options: Options) -> Iterator[Figure]:
    if why := TRAINER.absent():
        yield missing(TABLE, AS_FOLDER, COMMIT, why)
        return
    say(TABLE)
    checkpoints = TRAINER.checkpoints()[: 3 if options.quick else None]
    samples: Samples = defaultdict(list)
    for _ in range(options.repetitions):
        sizes = _measure(checkpoints, samples)
    for name in (AS_STATE, AS_FOLDER):
        yield Figure(TABLE, name, f"bytes of {len(checkpoints)}", "MB", (sizes[name] / 1e6,))
    for what in (COMMIT, CHECKOUT):
        for name in (AS_STATE, AS_FOLDER):
            yield Figure(TABLE, name, what, "MB/s", tuple(samples[name, what]))
        pairs = zip(samples[AS_FOLDER, what], samples[AS_STATE, what], strict=True)
        yield Figure(
            TABLE, AS_FOLDER, f"{what}, of a live state's", "x", tuple(a / b for a, b in pairs), at_least(TARGET)
        )


def _measure(checkpoints: Sequence[tuple[int, Path]], samples: Samples) -> dict[str, int]:
    """Adds to ``samples``; the bytes that each of the two stores has in the end."""
    with scratch("folder-speed") as folder:
        stores = {name: DeltackptStore(subfolder(folder, name)) for name in (AS_FOLDER, AS_STATE)}
        for turn, (step, path) in enumerate(checkpoints):
            state = _live(path)
            actions = {
                AS_FOLDER: lambda p=path, s=step: stores[AS_FOLDER].keep(p, s),
                AS_STATE: lambda x=state, s=step: stores[AS_STATE].commit_state(x, s),
            }
            _in_turn(turn, COMMIT, actions, folder_bytes(path), samples)
        for turn, (step, path) in enumerate(checkpoints):
            target = subfolder(folder, "target")
            actions = {
                AS_FOLDER: lambda p=path, s=step, t=target: _folder(stores[AS_FOLDER], p, s, t),
                AS_STATE: lambda s=step, t=target / "state": _file(stores[AS_STATE], s, t),
            }
            _in_turn(turn, CHECKOUT, actions, folder_bytes(path), samples)
            shutil.rmtree(target)
        return {name: store.bytes_on_disk() for name, store in stores.items()}


def _in_turn(turn: int, what: str, actions: Mapping[str, Callable[[], object]], nbytes: int, samples: Samples) -> None:
    for name in rotated(list(actions), turn):
        seconds = timed(actions[name])
        # The first commit has no base, and its checkout decodes none.
        if turn:
            samples[name, what].append(nbytes / 1e6 / seconds)


def _folder(store: DeltackptStore, path: Path, step: int, target: Path) -> None:
    store.restore(path, step, target)
    sync_folder(target)


def _file(store: DeltackptStore, step: int, path: Path) -> None:
    store.checkout(step, path)
    sync_file(path)


def _live(checkpoint: Path) -> dict[str, Any]:
    model, optimizer = load_file(checkpoint / "model.safetensors"), torch.load(checkpoint / "optimizer.pt")
    return {"model": model, "optimizer": optimizer}
