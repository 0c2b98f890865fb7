"""Quantised tensors in a store: every way in and out of it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from skeleton_round_trip import assert_same

import deltackpt
from deltackpt import InvalidInputError, Store

pytestmark = pytest.mark.filterwarnings("ignore")
WEIGHT = torch.linspace(-3, 3, 6000).reshape(40, 150)


def per_tensor(scale: float = 0.05, zero: int = 100, dtype: torch.dtype = torch.quint8) -> torch.Tensor:
    return torch.quantize_per_tensor(WEIGHT, scale, zero, dtype)


def per_channel(step: float = 0.0, axis: int = 0, weight: torch.Tensor = WEIGHT) -> torch.Tensor:
    scales = torch.linspace(0.1, 0.9, weight.shape[axis]) + step
    return torch.quantize_per_channel(weight, scales, torch.zeros(weight.shape[axis]).long(), axis, torch.qint8)


def packed(scale: float = 0.5) -> torch.Tensor:
    return torch.quantize_per_tensor(WEIGHT, scale, 3, torch.quint4x2)


def state(step: float = 0.0) -> dict[str, Any]:
    return {"model": {"one": per_tensor(0.05 + step), "each": per_channel(step), "packed": packed()}, "step": 3}


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    assert (one.dtype, one.qscheme(), one.stride()) == (other.dtype, other.qscheme(), other.stride())
    return torch.equal(one.int_repr(), other.int_repr()) and torch.equal(one.dequantize(), other.dequantize())


def test_loaded_whole_by_part_and_by_pattern(store: Store) -> None:
    store.commit(state())
    for found in (store.load("main")["model"], store.load("main", part="model")):
        assert all(same(found[name], made) for name, made in state()["model"].items())
    assert list(store.load("main", select="model/each*")["model"]) == ["each"]
    with store.reader("main") as reader:
        assert reader.tensor("model/one/scale")[...].item() == 0.05
        assert torch.equal(reader.tensor("model/one/values")[3:5], per_tensor().int_repr()[3:5])


def test_a_new_scale_is_a_change_of_the_scale_alone(store: Store) -> None:
    store.commit(state(), step=1)
    small = store.commit({**state(), "model": {**state()["model"], "one": per_tensor(zero=99)}}, step=2)
    changed = {change.name for change in store.diff("main~1", "main").changed}
    assert changed == {"model/one/values", "model/one/zero_point"}
    assert small.stored_bytes < 4000


def test_a_checkout_has_the_parts_and_its_commit_the_state(store: Store, tmp_path: Path) -> None:
    store.commit(state())
    store.checkout("main", out := tmp_path / "out.safetensors")
    found = load_file(out)
    assert torch.equal(found["model/each/values"], per_channel().int_repr())
    assert torch.equal(found["model/each/scales"], per_channel().q_per_channel_scales())
    assert found["model/one/zero_point"].item() == 100
    store.commit_path(out, branch="file")
    back = store.load("file")["model"]
    assert all(same(back[name], made) for name, made in state()["model"].items())


def test_a_live_state_takes_values_and_scales_in_place(store: Store) -> None:
    store.commit(state(0.01))
    target = state()
    places = {name: tensor.data_ptr() for name, tensor in target["model"].items()}
    alone = {name: target["model"][name] for name in ("one", "each")}
    store.load_into({"model": alone}, "main", strict=False)
    assert all(same(target["model"][name], state(0.01)["model"][name]) for name in alone)
    assert {name: tensor.data_ptr() for name, tensor in target["model"].items()} == places


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("one", lambda: per_tensor(dtype=torch.qint8), "values (stored uint8 [40, 150], target int8 [40, 150])"),
        ("square", lambda: per_channel(0, 1, torch.eye(9)), "stored qint8 [9, 9] per_channel_affine along 0, target"),
        ("packed", packed, "scale (of packed torch.quint4x2, whose scale PyTorch cannot change)"),
        ("one", per_channel, "does not fit: model/one/scale, model/one/zero_point"),
    ],
    ids=["type", "axis", "packed", "scheme"],
)
def test_a_target_of_another_kind_is_refused_before_anything_changes(
    store: Store, name: str, make: Callable[[], torch.Tensor], reason: str
) -> None:
    store.commit({"model": {"square": per_channel(0, 0, torch.eye(9)), **state()["model"]}})
    target = {"square": per_channel(0.5, 0, torch.eye(9) * 0.2), "one": per_tensor(0.1), name: make()}
    before = {name: tensor.int_repr() for name, tensor in target.items()}
    with pytest.raises(InvalidInputError) as caught:
        store.load_into({"each": per_channel(), **target}, "main", part="model")
    assert reason in str(caught.value)
    assert all(torch.equal(target[name].int_repr(), values) for name, values in before.items())


def test_an_average_is_refused(store: Store) -> None:
    for step in range(2):
        store.commit(state(step / 100), step=step)
    with pytest.raises(InvalidInputError, match=r"^tensor 'model/one/values' is of a quantised one, which has no"):
        store.average(["main~1", "main"], "mean")


def test_files_of_pytorch_give_quantised_tensors(store: Store, tmp_path: Path) -> None:
    again = state()
    again["model"]["tied"] = again["model"]["one"]
    again["model"]["rows"] = again["model"]["one"][2:4]
    torch.save(again, path := tmp_path / "q.pt")
    store.commit_path(path, step=1)
    for found in (store.load("main"), deltackpt.open_state(path)):
        assert all(same(found["model"][name], made) for name, made in again["model"].items())
        assert found["model"]["tied"] is found["model"]["one"]
        shared = {found["model"][name].untyped_storage().data_ptr() for name in ("one", "rows")}
        assert len(shared) == 1
    store.checkout("main", out := tmp_path / "again.pt")
    assert out.read_bytes() == path.read_bytes()
    assert store.commit(again, branch="live").stored_bytes < 3000


def six_bits(name: str, code: str, shape: list[int], data: bytes) -> bytes:
    entry = {"dtype": code, "shape": shape, "data_offsets": [0, len(data)]}
    header = json.dumps({name: entry}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


@pytest.mark.parametrize("code", ["F6_E2M3", "F6_E3M2"])
@pytest.mark.parametrize(("shape", "loaded"), [([3, 8], (3, 2, 3)), ([6, 2], (3, 3)), ([0, 4], (0, 1, 3))], ids=str)
def test_floats_of_six_bits_come_back_byte_for_byte(
    store: Store, tmp_path: Path, code: str, shape: list[int], loaded: tuple[int, ...]
) -> None:
    from safetensors import deserialize

    data = bytes(range(shape[0] * shape[1] * 6 // 8))
    raw = six_bits("w", code, shape, data)
    ((_, official),) = deserialize(raw)
    assert (official["dtype"], official["shape"]) == (code, shape)
    (path := tmp_path / "six.safetensors").write_bytes(raw)
    store.commit_path(path)
    store.checkout("main", out := tmp_path / "out.safetensors")
    assert out.read_bytes() == raw
    assert_same(
        store.load("main")["w"],
        torch.frombuffer(bytearray(data) or bytearray(1), dtype=torch.uint8)[: len(data)].view(loaded),
    )
