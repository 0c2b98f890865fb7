"""Makes the store of every kind of object that is kept for good: ``python tests/golden/make.py``, once for each format.

What it held is written beside it, as hashes. Neither is ever changed again: a later release must read it, or bring
a migration that is tried with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from deltackpt import Keep, Store
from deltackpt.chunkstore.facts import FORMAT
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.maintenance import archive, gc

HERE = Path(__file__).parent


def weights(step: int) -> dict[str, np.ndarray]:
    """Values that change a little with each step, as those of a training do."""
    base = np.sin(np.arange(4_000, dtype=np.float32) * 0.7) * 0.02
    return {
        "emb.weight": (base * (1 + step * 1e-4)).reshape(80, 50),
        "head.weight": np.roll(base, 1)[:1_000] - np.float32(step * 1e-5),
        "steps": np.array(step),
    }


def state(step: int) -> dict[str, Any]:
    model = weights(step)
    return {
        "model": model,
        "optimizer": {
            "state": {0: {"exp_avg": model["emb.weight"] * 0.1, "step": step}},
            "param_groups": [{"lr": 0.1 / step, "betas": (0.9, 0.999), "params": [0]}],
        },
        "rng": np.arange(600, dtype=np.uint32) * step,
        "tied": model["head.weight"],
        "text": "a long text, " * 900,
        "special": [float("nan"), -0.0, 1 << 70, None, b"bytes", {1, 2}, 1 + 2j],
    }


@contextmanager
def small_files() -> Iterator[None]:
    """Packs begin at 8 KB, epochs of the log end after three records."""
    saved = Transaction.__init__.__defaults__, gc.EPOCH_RECORDS, archive.EPOCH_RECORDS_WITHOUT_GC
    Transaction.__init__.__defaults__, gc.EPOCH_RECORDS, archive.EPOCH_RECORDS_WITHOUT_GC = (8_000,), 3, 3
    try:
        yield
    finally:
        Transaction.__init__.__defaults__, gc.EPOCH_RECORDS, archive.EPOCH_RECORDS_WITHOUT_GC = saved


def live(folder: Path) -> None:
    """Commits of states, a file and a folder; branches, tags, annotations, thinning, a gc, and records after it."""
    with small_files(), Store.init(folder / "store", reserve=0) as store:
        for step in (1, 2, 3, 4):
            store.commit(state(step), step=step, metrics={"loss": 1 / step}, config={"lr": 0.1}, message=f"step {step}")
        store.tag("first", "step:1")
        save_file(weights(9), folder / "model.safetensors", metadata={"format": "np"})
        (folder / "checkpoint-9").mkdir()
        save_file(weights(9), folder / "checkpoint-9" / "model.safetensors")
        (folder / "checkpoint-9" / "config.json").write_text('{"layers": 2}')
        store.commit_path(folder / "model.safetensors", branch="files")
        store.commit_path(folder / "checkpoint-9", branch="folders")
        store.commit({"x": 1}, branch="gone")
        store.delete_branch("gone")
        store.annotate("step:2", {"acc": 0.5})
        store.prune(Keep(last=4, optimizer=2))
        store.gc()
        store.commit(state(5), step=5)
        store.commit({"small": np.arange(9)}, branch="dev", parent="main")


def told(store: Store) -> dict[str, Any]:
    """All that a store says of itself."""
    commits = {}
    for branch in ("main", "dev", "files", "folders"):
        for commit in store.log(branch):
            with store.reader(commit) as reader:
                arrays = {name: reader.tensor(name).numpy() for name in reader}
            tensors = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
            commits[str(commit.id)] = {"step": commit.step, "metrics": commit.metrics, "tensors": tensors}
    refs = store._repository.look(lambda history: history.view.refs())
    return {"refs": {name: str(commit) for name, commit in refs.items()}, "commits": commits}


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        os.chdir(folder)
        socket.gethostname = lambda: "host"
        live(folder)
        with Store(folder / "store") as store:
            (HERE / f"format-{FORMAT}.json").write_text(json.dumps(told(store), indent=1) + "\n")
        with tarfile.open(HERE / f"format-{FORMAT}.tar.xz", "w:xz") as packed:
            for part in ("store.json", "log", "segments", "packs"):
                packed.add(folder / "store" / part, part)


if __name__ == "__main__":
    sys.exit(main())
