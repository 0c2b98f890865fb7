"""From a file, or a store, to a training that can go on: opened, read, checked, and in the live objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.figures import Figure
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stopwatch import timed
from benchmarks.training.live import Live
from benchmarks.workspace import scratch
from deltackpt import Checkpointer

SIZES_MB = (100, 1000)
TURNS = 5


def figures(options: Options) -> Iterator[Figure]:
    for size in SIZES_MB[: 1 if options.quick else None]:
        say(f"resume: {size} MB")
        table = f"resume: state of {size} MB"
        for name, seconds in _seconds(size * 1_000_000, 2 if options.quick else TURNS).items():
            yield Figure(table, name, "until it can go on", "s", tuple(seconds))


def _seconds(nbytes: int, turns: int) -> dict[str, list[float]]:
    live = Live(nbytes)
    with scratch("resume") as folder:
        _save(live, folder)
        found: dict[str, list[float]] = {"torch.load": [], "deltackpt": []}
        for _ in range(turns):
            one, other = Live(nbytes), Live(nbytes)
            found["torch.load"].append(timed(lambda one=one: _from_file(one, folder / "state.pt")))
            found["deltackpt"].append(timed(lambda other=other: _from_store(other, folder / "store")))
            assert all(torch.equal(a, b) for a, b in zip(one.tensors(), other.tensors(), strict=True))
    return found


def _save(live: Live, folder: Path) -> None:
    """Three commits, so that the last one is a delta against another, and a file of the same state."""
    with Checkpointer(folder / "store", model=live.model, optimizer=live.optimizer) as ckpt:
        for step in range(3):
            live.advance()
            ckpt.step(step)
            ckpt.save()
    torch.save(live.state(), folder / "state.pt")


def _from_file(live: Live, path: Path) -> None:
    state = torch.load(path, weights_only=True)
    live.model.load_state_dict(state["model"])
    live.optimizer.load_state_dict(state["optimizer"])


def _from_store(live: Live, path: Path) -> None:
    with Checkpointer(path, model=live.model, optimizer=live.optimizer) as ckpt:
        ckpt.resume("must")
