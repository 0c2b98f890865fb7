"""Loading into a live model: in place, all or nothing for each tensor, and honest when it stops half way."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from disks import damage, packs
from skeleton_round_trip import assert_same
from training import Model

from deltackpt import CorruptError, InvalidInputError, Store
from deltackpt.skeleton import torch_tensors


def test_a_live_model_takes_the_best_weights(store: Store, trained: list[dict[str, Any]]) -> None:
    for state in trained:
        store.commit(state, step=state["step"], metrics={"val_loss": abs(state["step"] - 19.0)})
    model = Model()
    places = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    replaced = store.load_into(model.state_dict(), "min:val_loss", part="model")
    assert sorted(replaced) == sorted(f"model/{name}" for name in places)
    assert {name: tensor.data_ptr() for name, tensor in model.state_dict().items()} == places
    assert_same(model.state_dict(), trained[1]["model"])


def test_a_whole_state_is_a_target_too(store: Store, trained: list[dict[str, Any]]) -> None:
    store.commit(trained[0], step=10)
    target = copy.deepcopy(trained[1])
    store.load_into(target, "main")
    assert_same(target["model"], trained[0]["model"])
    assert_same(target["optimizer"]["state"], trained[0]["optimizer"]["state"])
    assert target["step"] == 20


def test_a_target_keeps_its_strides_and_type(store: Store) -> None:
    stored = {"w": torch.arange(12.0).reshape(3, 4), "n": np.arange(5)}
    store.commit(stored, step=1)
    target = {"w": torch.zeros(4, 3).t(), "n": np.zeros(10, np.int64)[::2]}
    assert store.load_into(target, "main") == ["w", "n"]
    assert target["w"].stride() == (1, 3)
    assert torch.equal(target["w"], stored["w"])
    assert target["n"].tolist() == [0, 1, 2, 3, 4]


def test_a_view_of_a_shared_storage_reads_its_own_window(store: Store) -> None:
    flat = torch.arange(600_000, dtype=torch.float32)
    store.commit({"m": {"flat": flat, "middle": flat[300_000:300_100].view(10, 10)}}, step=1)
    target = {"middle": torch.zeros(10, 10)}
    assert store.load_into(target, "main", part="m", strict=False) == ["m/middle"]
    assert torch.equal(target["middle"], flat[300_000:300_100].view(10, 10))


def test_what_does_not_fit_is_listed_before_anything_changes(store: Store) -> None:
    store.commit({"m": {"a": torch.ones(3), "b": torch.ones(3), "c": torch.ones(2)}}, step=1)
    target = {"a": torch.zeros(3), "b": torch.zeros(4), "d": torch.zeros(1)}
    with pytest.raises(InvalidInputError) as caught:
        store.load_into(target, "main", part="m")
    assert str(caught.value) == (
        "the target does not fit: m/c missing in the target; m/d not stored; "
        "m/b (stored float32 [3], target float32 [4]) different; "
        "pass a target of the same shapes and types, or strict=False for names that only one side has"
    )
    assert target["a"].tolist() == [0, 0, 0]


def test_names_of_one_side_only_are_fine_when_not_strict(store: Store) -> None:
    store.commit({"m": {"a": torch.ones(3), "c": torch.ones(2)}}, step=1)
    target = {"a": torch.zeros(3), "d": torch.zeros(1)}
    assert store.load_into(target, "main", part="m", strict=False) == ["m/a"]
    assert target["a"].tolist() == [1, 1, 1]
    assert target["d"].tolist() == [0]


def test_an_error_half_way_names_what_was_replaced(store: Store) -> None:
    generator = torch.Generator().manual_seed(0)
    state = {"m": {name: torch.rand(300, 300, generator=generator) for name in "abc"}}
    store.commit(state, step=1)
    [pack] = packs(store)
    damage(pack, pack.stat().st_size * 2 // 3 + 20_000)
    target = {name: torch.zeros(300, 300) for name in "abc"}
    with pytest.raises(CorruptError) as caught:
        Store(store.path).load_into(target, "main", part="m")
    assert caught.value.replaced == ["m/a", "m/b"]
    assert str(caught.value).startswith("tensor 'm/c': chunk ")
    assert str(caught.value).endswith("; 2 tensors were replaced already, up to 'm/b'")
    assert torch.equal(target["a"], state["m"]["a"])
    assert torch.equal(target["b"], state["m"]["b"])
    assert target["c"].count_nonzero() == 0


def test_a_copy_that_fails_names_what_was_replaced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.commit({"m": {"a": torch.ones(3), "b": torch.ones(3)}}, step=1)
    overwrite = torch_tensors.overwrite

    def out_of_memory(tensor: torch.Tensor, plain: memoryview) -> None:
        if tensor is target["b"]:
            raise RuntimeError("CUDA error:\nout of memory")
        overwrite(tensor, plain)

    monkeypatch.setattr(torch_tensors, "overwrite", out_of_memory)
    target = {"a": torch.zeros(3), "b": torch.zeros(3)}
    with pytest.raises(CorruptError) as caught:
        store.load_into(target, "main", part="m")
    assert str(caught.value) == (
        "tensor 'm/b' could not be copied: RuntimeError('CUDA error:\\nout of memory'); "
        "1 tensors were replaced already, up to 'm/a'"
    )
    assert target["a"].tolist() == [1, 1, 1]
