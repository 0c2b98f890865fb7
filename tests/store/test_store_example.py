"""The whole public object on a real training run, as the README shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from skeleton_round_trip import assert_same
from training import Model

import deltackpt


def test_a_training_run_from_init_to_gc(tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    store = deltackpt.Store.init(tmp_path / "runs" / "ckpts")
    for state in trained:
        metrics = {"val_loss": state["loss"]}
        c = store.commit(state, step=state["step"] * 100, metrics=metrics, message="as planned", branch="main")
    assert (c.step, c.metrics, c.parents) == (4000, {"val_loss": trained[-1]["loss"]}, (store.resolve("main~1").id,))
    assert 0 < c.stored_bytes < c.logical_bytes

    assert_same(store.load("main~3"), trained[0])
    assert_same(store.load("latest", select="model/*", device="cpu"), {"model": trained[-1]["model"]})
    model = Model()
    store.load_into(model.state_dict(), "min:val_loss", part="model")
    best = min(trained, key=lambda state: state["loss"])
    assert_same(model.state_dict(), best["model"])
    store.checkout("step:1000", tmp_path / "out.safetensors", part="model")
    model.load_state_dict(load_file(tmp_path / "out.safetensors"))
    assert [commit.step for commit in store.log("main")] == [4000, 3000, 2000, 1000]

    assert store.diff("main~1", "main").changed[0].change.l2 > 0
    assert store.stats().commits == 4
    assert store.gc(dry_run=True).empty
    assert store.verify().ok
    store.branch("dev", "main~2")
    store.tag("warmup-done", "main~3")
    with store.reader("main") as r:
        assert "model/emb.weight" in r.keys()  # noqa: SIM118 - the example spells it out
        assert torch.equal(r.tensor("model/emb.weight")[100:200], trained[-1]["model"]["emb.weight"][100:200])


def test_dropped_commits_are_freed_and_the_rest_is_whole(tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    with deltackpt.Store.init(tmp_path / "s") as store:
        store.commit(trained[0], step=10)
        store.commit(trained[3], step=40, branch="dev")
        before = store.stats().disk_bytes
        store.delete_branch("dev")
        planned = store.gc(dry_run=True)
        done = store.gc()
        assert done.freed_bytes == planned.freed_bytes > 500_000
        assert len(done.dropped) == 1
        # The two records that the gc itself published remain.
        assert before - store.stats().disk_bytes > done.freed_bytes - 2000
        assert store.gc().empty
        assert store.verify(data=True).ok
        assert_same(store.load("main"), trained[0])
