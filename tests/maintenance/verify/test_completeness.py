"""Has a commit all that a run needs to go on?"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disks import packs
from safetensors.numpy import save_file

from deltackpt import Keep, Store

STATE: dict[str, Any] = {
    "model": {"w": np.arange(200_000.0)},
    "optimizer": {"m": np.random.default_rng(0).standard_normal(100_000)},
    "rng": [1, 2],
    "epoch": 3,
    "best": np.zeros(2),
}


def found(store: Store, ref: str, *names: str) -> dict[str, str]:
    return {name: str(presence) for name, presence in store.completeness(ref, names).found.items()}


def test_parts_values_and_the_step(store: Store) -> None:
    store.commit(STATE, step=7)
    names = ("model", "optimizer", "rng", "epoch", "best", "step")
    assert found(store, "main", *names) == dict.fromkeys(names, "present")
    assert store.completeness("main", names).ok


def test_what_was_never_there(store: Store) -> None:
    store.commit(STATE)
    assert found(store, "main", "step", "scaler", "w", "") == dict.fromkeys(["step", "scaler", "w", ""], "missing")
    assert not store.completeness("main", ["scaler"]).ok


def test_thinned_reads_as_thinned(store: Store) -> None:
    store.commit(STATE, step=1)
    store.commit(STATE, step=2)
    store.prune(Keep(every=1, optimizer=1))
    assert found(store, "step:1", "model", "optimizer") == {"model": "present", "optimizer": "thinned"}
    store.gc()
    assert found(store, "step:1", "model", "optimizer") == {"model": "present", "optimizer": "thinned"}


def test_a_part_that_has_lost_chunks(store: Store) -> None:
    store.commit(STATE, step=1)
    [pack] = packs(store)
    store.close()
    pack.unlink()
    shutil.rmtree(store.index_path)
    with Store(store.path) as again:
        assert found(again, "main", "model", "step", "epoch", "scaler") == {
            "model": "damaged",
            "step": "present",
            "epoch": "damaged",
            "scaler": "damaged",
        }


@pytest.mark.parametrize(("name", "presence"), [("model", "present"), ("model.w", "present"), ("mod", "missing")])
def test_a_commit_that_was_made_from_a_file(store: Store, tmp_path: Path, name: str, presence: str) -> None:
    save_file({"model.w": np.ones(3), "model.b": np.ones(2)}, tmp_path / "m.safetensors")
    store.commit_path(tmp_path / "m.safetensors")
    assert found(store, "main", name) == {name: presence}
