"""What changed between two commits: tensors with their distances, values, configuration, metrics."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from disks import CountingDisk, opened

from deltackpt import Store
from deltackpt.diff.diff import ValueChange


def test_added_removed_changed_and_unchanged(store: Store) -> None:
    table = torch.zeros(1000, 500)
    old = {"m": {"same": torch.ones(5), "near": table, "far": torch.zeros(4), "gone": torch.ones(2)}}
    new_table = table.clone()
    new_table[3, :100] = 0.5
    new = {"m": {"same": torch.ones(5), "near": new_table, "far": torch.full((4,), 100.0), "new": torch.ones(3)}}
    store.commit(old, step=1)
    store.commit(new, step=2)
    diff = store.diff("main~1", "main")
    assert (diff.old.step, diff.new.step) == (1, 2)
    assert (diff.added, diff.removed, diff.unchanged) == (("m/new",), ("m/gone",), 1)
    far, near = diff.changed
    assert (far.name, far.dtype, far.shape) == ("m/far", "float32", (4,))
    assert (far.change.fraction, far.change.l2, far.change.largest) == (1.0, 200.0, 100.0)
    assert (near.name, near.change.elements, near.change.changed) == ("m/near", 500_000, 100)
    assert (near.change.fraction, near.change.l2, near.change.largest) == (0.0002, 5.0, 0.5)


def test_a_training_step(store: Store, trained: list[dict[str, Any]]) -> None:
    for state in trained[:2]:
        store.commit(state, step=state["step"])
    diff = store.diff("step:10", "step:20")
    by_name = {change.name: change.change for change in diff.changed}
    old, new = (state["model"]["emb.weight"].double() for state in trained[:2])
    assert by_name["model/emb.weight"].l2 == pytest.approx((new - old).norm().item())
    assert by_name["model/emb.weight"].largest == (new - old).abs().max().item()
    norms = [change.change.l2 for change in diff.changed]
    assert norms == sorted(norms, reverse=True)
    assert ValueChange("step", 10, 20) in diff.values
    assert ValueChange("scheduler/last_epoch", 10, 20) in diff.values


def test_a_commit_against_itself(store: Store, trained: list[dict[str, Any]]) -> None:
    store.commit(trained[0], step=10)
    diff = store.diff("main", "main")
    assert (diff.added, diff.removed, diff.changed, diff.values, diff.config, diff.metrics) == ((),) * 6
    assert diff.unchanged > 20


def test_configuration_and_metrics(store: Store) -> None:
    old = {"lr": 0.1, "model": {"layers": 2, "width": 64}, "seed": None, "data": ["a"]}
    new = {"lr": 0.01, "model": {"layers": 2, "width": 128}, "data": ["a"], "warmup": 10}
    store.commit({"n": 1}, config=old, metrics={"loss": 2.0, "old": 1.0})
    store.commit({"n": 1}, config=new, metrics={"loss": 1.5, "new": float("nan")})
    diff = store.diff("main~1", "main")
    assert diff.config == (
        ValueChange("lr", 0.1, 0.01),
        ValueChange("model/width", 64, 128),
        ValueChange("warmup", None, 10),
    )
    assert repr(diff.metrics) == repr(
        (
            ValueChange("loss", 2.0, 1.5),
            ValueChange("old", 1.0, None),
            ValueChange("new", None, float("nan")),
        )
    )


def test_another_form_is_told_not_measured(store: Store) -> None:
    store.commit({"m": {"grown": torch.ones(3, 4), "cast": torch.ones(70_000)}}, step=1)
    store.commit({"m": {"grown": torch.ones(5, 4), "cast": torch.ones(70_000).bfloat16()}}, step=2)
    forms = {
        change.name: (change.dtype, change.shape, change.reshaped) for change in store.diff("main~", "main").changed
    }
    assert forms == {
        "m/grown": ("float32", (5, 4), "float32 [3, 4]"),
        "m/cast": ("bfloat16", (70_000,), "float32 [70000]"),
    }


def test_only_chunks_that_differ_are_read(store: Store) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randint(-(1 << 31), 1 << 31, (20_000, 256), generator=generator, dtype=torch.int32)
    store.commit({"m": {"w": table}}, step=1)
    changed = table.clone()
    changed[5000] += 1
    store.commit({"m": {"w": changed}}, step=2)
    disk = CountingDisk()
    [change] = opened(store.path, disk).diff("main~1", "main").changed
    assert (change.change.changed, change.change.l2, change.change.largest) == (256, 16.0, 1.0)
    assert disk.from_packs < 9 << 20


def test_progress_hears_of_the_bytes_compared(store: Store, trained: list[dict[str, Any]]) -> None:
    for state in trained[:2]:
        store.commit({"w": state["model"]["emb.weight"]}, step=state["step"])
    heard: list[int] = []
    store.diff("main~1", "main", progress=heard.append)
    assert sum(heard) == 256 * 64 * 4
