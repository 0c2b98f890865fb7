"""What changed between two commits: tensors with their distances, values, configuration, metrics."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import pytest
import torch
from disks import CountingDisk, opened

import deltackpt
from deltackpt import Store
from deltackpt.diff.diff import Diff
from deltackpt.diff.values import ABSENT, ValueChange
from deltackpt.skeleton import registry


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
        ValueChange("seed", None, ABSENT),
        ValueChange("warmup", ABSENT, 10),
    )
    assert repr(diff.metrics) == repr(
        (
            ValueChange("loss", 2.0, 1.5),
            ValueChange("old", 1.0, ABSENT),
            ValueChange("new", ABSENT, float("nan")),
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


def changes(store: Store, old: dict[str, Any], new: dict[str, Any]) -> Diff:
    store.commit(old, step=1)
    store.commit(new, step=2)
    return store.diff("main~1", "main")


def names(diff: Diff) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], int]:
    return diff.added, diff.removed, tuple(change.name for change in diff.changed), diff.unchanged


def test_tied_tensors_are_compared_by_their_names(store: Store) -> None:
    one, other = torch.ones(300, 10), torch.full((300, 10), 3.0)
    apart = changes(store, {"m": {"emb": one, "head": one}}, {"m": {"emb": one, "head": other}})
    assert names(apart) == ((), (), ("m/head",), 1)
    assert (apart.changed[0].change.largest, apart.changed[0].change.changed) == (2.0, 3000)
    together = changes(
        Store.init(f"{store.path}-2"), {"m": {"emb": one, "head": other}}, {"m": {"emb": one, "head": one}}
    )
    assert names(together) == ((), (), ("m/head",), 1)
    same = changes(
        Store.init(f"{store.path}-3"), {"m": {"emb": one, "head": one}}, {"m": {"emb": one, "head": one.clone()}}
    )
    assert names(same) == ((), (), (), 2)


def test_views_of_one_storage_are_compared_each(store: Store) -> None:
    old = torch.arange(900_000, dtype=torch.float32)
    new = old.clone()
    new[600_000:] += 1

    def views(flat: torch.Tensor) -> dict[str, Any]:
        columns = flat.view(900, 1000)
        return {"flat": flat, "a": flat[:500_000], "b": flat[400_000:], "t": columns.t(), "left": columns[:600, :10]}

    diff = changes(store, {"m": views(old)}, {"m": views(new)})
    assert names(diff) == ((), (), ("m/b", "m/flat", "m/t"), 2)
    assert {c.change.changed for c in diff.changed} == {300_000}
    assert diff.changed[0].change.elements == 500_000


def test_views_without_a_name_for_their_memory(store: Store) -> None:
    old, new = torch.zeros(1000), torch.zeros(1000)
    new[700:] = 2
    diff = changes(store, {"m": {"a": old[:600], "b": old[400:]}}, {"m": {"a": new[:600]}})
    assert names(diff) == ((), ("m/b",), (), 1)
    diff = changes(
        Store.init(f"{store.path}-2"), {"m": {"a": old[:600], "b": old[400:]}}, {"m": {"a": new[:600], "b": new[400:]}}
    )
    assert names(diff) == ((), (), ("m/b",), 1)
    assert diff.changed[0].change.l2 == pytest.approx(2 * 300**0.5)


def test_progress_hears_of_views_too(store: Store) -> None:
    old, new = torch.zeros(90_000), torch.ones(90_000)
    changes(
        store,
        {"m": {"flat": old, "v": old[5:]}, "x": torch.ones(2)},
        {"m": {"flat": new, "v": new[5:]}, "x": torch.ones(3)},
    )
    heard: list[int] = []
    store.diff("main~1", "main", progress=heard.append)
    assert sum(heard) == store.diff_bytes("main~1", "main") == 4 * (180_000 - 5)


def test_what_is_not_finite_any_more_comes_first(store: Store) -> None:
    old = {"m": {"far": torch.zeros(9), "gone": torch.zeros(9), "near": torch.zeros(9)}}
    new = {"m": {"far": torch.full((9,), 1e6), "gone": torch.full((9,), float("nan")), "near": torch.ones(9)}}
    diff = changes(store, old, new)
    assert [change.name for change in diff.changed] == ["m/gone", "m/far", "m/near"]
    assert not diff.changed[0].change.measured


def test_texts_are_counted_as_texts(store: Store) -> None:
    old, new = np.array(["ab", "cd"] * 50), np.array(["ab", "ce"] * 50)
    [change] = changes(store, {"m": {"t": old}}, {"m": {"t": new}}).changed
    assert (change.change.elements, change.change.changed) == (100, 50)
    [change] = changes(
        Store.init(f"{store.path}-2"), {"t": np.arange(3, dtype="<i4")}, {"t": np.arange(3, dtype=">i4")}
    ).changed
    assert change.reshaped == "int32 [3]"


class Mode(enum.Enum):
    FAST = 1
    SAFE = 2


def test_values_are_told_as_python_has_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_by_class", {})
    monkeypatch.setattr(registry, "_by_name", {})
    deltackpt.register(Mode, "Mode")
    old = {
        "lr": np.float64(0.1), "size": torch.Size([1]), "dtype": torch.float32, "device": torch.device("cpu"),
        "mode": Mode.FAST, "empty": {}, "list": [], "none": None, "zero": 0.0,
        "nan": float("nan"), "set": {"a", "b"},
    }  # fmt: skip
    new = {
        "lr": np.float64(0.2), "size": torch.Size([2]), "dtype": torch.float16, "device": torch.device("cuda:1"),
        "mode": Mode.SAFE, "empty": {"x": 1}, "list": [1], "none": 0, "zero": -0.0,
        "nan": float("nan"), "set": {"b", "a"},
    }  # fmt: skip
    assert {(c.name, str(c.old), str(c.new)) for c in changes(store, {"s": old}, {"s": new}).values} == {
        ("s/lr", "0.1", "0.2"),
        ("s/size", "torch.Size([1])", "torch.Size([2])"),
        ("s/dtype", "torch.float32", "torch.float16"),
        ("s/device", "torch.device('cpu')", "torch.device('cuda:1')"),
        ("s/mode", "Mode.FAST", "Mode.SAFE"),
        ("s/empty", "{}", "absent"),
        ("s/empty/x", "absent", "1"),
        ("s/list", "[]", "absent"),
        ("s/list/0", "absent", "1"),
        ("s/none", "None", "0"),
        ("s/zero", "0.0", "-0.0"),
    }


@pytest.mark.parametrize(
    ("old", "new", "differ"),
    [
        (np.float32("nan"), np.float32("nan"), False),
        (np.datetime64("NaT"), np.datetime64("NaT"), False),
        (np.float32(0.0), np.float32(-0.0), True),
        (np.datetime64(1, "s"), np.datetime64(1000, "ms"), True),
        (np.int64(1), np.int64(1), False),
    ],
)
def test_numbers_of_numpy_differ_when_their_bits_or_types_do(store: Store, old: Any, new: Any, differ: bool) -> None:
    assert bool(changes(store, {"s": [old]}, {"s": [new]}).values) == differ


def test_names_that_are_alike_hide_nothing(store: Store) -> None:
    old = {"a": {"b": 1, 1: "x", "1": "y"}, "a/b": 2}
    new = {"a": {"b": 5, 1: "z", "1": "y"}, "a/b": 3}
    diff = changes(store, old, new)
    assert diff.values == (
        ValueChange("['a/b']", 2, 3),
        ValueChange("['a']['b']", 1, 5),
        ValueChange("['a'][1]", "x", "z"),
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([1, 2], [1, 3], [ValueChange("1", 2, 3)]),
        ({"layers": [1, 2]}, {"layers": [1, 2, 3]}, [ValueChange("layers/2", ABSENT, 3)]),
        ({"a/b": 1}, {"a": {"b": 1}}, [ValueChange("['a/b']", 1, ABSENT), ValueChange("['a']['b']", ABSENT, 1)]),
        ("fast", "slow", [ValueChange("", "fast", "slow")]),
        (None, {"a": None}, [ValueChange("a", ABSENT, None)]),
        ({1: 0}, {"1": 0}, [ValueChange("[1]", 0, ABSENT), ValueChange("['1']", ABSENT, 0)]),
    ],
)
def test_configurations_of_any_form(store: Store, old: Any, new: Any, expected: list[ValueChange]) -> None:
    store.commit({"n": 1}, config=old)
    store.commit({"n": 1}, config=new)
    assert list(store.diff("main~1", "main").config) == expected


def test_two_stores_are_compared(store: Store, trained: list[dict[str, Any]]) -> None:
    other = Store.init(f"{store.path}-2")
    store.commit(trained[0], step=10)
    other.commit(trained[0], step=10)
    other.commit(trained[1], step=20)
    assert store.diff("main", "main~1", other=other).changed == ()
    across = store.diff("main", "main", other=other)
    assert across.changed == other.diff("main~1", "main").changed
    heard: list[int] = []
    store.diff("main", "main", other=other, progress=heard.append)
    assert sum(heard) == store.diff_bytes("main", "main", other=other) > 0
