"""States on disk: one zstd-compressed ``torch.save`` file a step, and ``run.json`` once all are there.

Compressed because seven states of four runs are 5.5 GB plain; level 1 leaves 3.5 GB and loads at several
hundred MB/s, which no benchmark times.
"""

from __future__ import annotations

import io
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import zstandard

from benchmarks.runs.catalogue import RUNS, STEPS, Run

State = dict[str, Any]
FOLDER = Path(__file__).parents[1] / ".cache" / "runs"


def available(run: Run) -> bool:
    """Whether the run can be made here: its pretrained weights are installed, or it needs none."""
    from benchmarks.runs.encoder import model_folder

    return not run.pretrained or model_folder() is not None


def ensure(run: Run) -> dict[str, Any]:
    """Train ``run`` unless it is cached; its facts: versions, seconds, losses of the kept steps."""
    facts = _folder(run) / "run.json"
    if not facts.exists():
        _train(run, facts)
    return dict(json.loads(facts.read_text()))


def load(run: Run | str, step: int) -> State:
    """The whole training state after ``step``, on the CPU, in memory of its own."""
    import torch

    name = run if isinstance(run, str) else run.name
    packed = _state_file(RUNS[name], step).read_bytes()
    plain = io.BytesIO(zstandard.ZstdDecompressor().decompress(packed))
    return dict(torch.load(plain, weights_only=True))


def nbytes(state: Any) -> int:
    """Plain bytes of all tensors in ``state``; a storage that several tensors share counts once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _tensors(state)}.values())


def _tensors(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [t for item in value.values() for t in _tensors(item)]
    if isinstance(value, list | tuple):
        return [t for item in value for t in _tensors(item)]
    return [value] if hasattr(value, "untyped_storage") else []


def _train(run: Run, facts: Path) -> None:
    facts.parent.mkdir(parents=True, exist_ok=True)
    print(f"training {run.title}: {STEPS[-1]} steps, once; cached in {facts.parent}", flush=True)
    began, losses = time.perf_counter(), {}
    for step, state in zip(range(1, STEPS[-1] + 1), run.states(), strict=False):
        if step in STEPS:
            _save(_state_file(run, step), {**state, "step": step})
            losses[step] = round(state["loss"], 4)
    _write_facts(facts, {"seconds": round(time.perf_counter() - began, 1), "losses": losses})


def _write_facts(facts: Path, measured: dict[str, Any]) -> None:
    import torch

    text = json.dumps({**measured, "torch": torch.__version__, "python": platform.python_version()})
    partial = facts.with_suffix(".part")
    partial.write_text(text)
    os.replace(partial, facts)


def _save(path: Path, state: State) -> None:
    import torch

    plain = io.BytesIO()
    torch.save(state, plain)
    path.write_bytes(zstandard.ZstdCompressor(level=1, threads=-1).compress(plain.getbuffer()))


def _folder(run: Run) -> Path:
    return FOLDER / run.name


def _state_file(run: Run, step: int) -> Path:
    return _folder(run) / f"{step:06d}.pt.zst"
