"""Loading into live tensors: names, shapes and types must fit, and everything that does not is named at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from skeleton_round_trip import Shelf, shelved

from deltackpt.errors import InvalidInputError
from deltackpt.skeleton import registry
from deltackpt.skeleton.leaves import leaves
from deltackpt.skeleton.pairing import Pair, PairingError, pair, settle
from deltackpt.skeleton.read import read_skeleton
from deltackpt.skeleton.registry import register
from deltackpt.skeleton.strided import gather


def pairs_of(shelf: Shelf, part: str, target: Any, **options: Any) -> list[Pair]:
    return pair(target, leaves(read_skeleton(shelf.skeletons[part], part)), shelf.tables, part=part, **options)


def load_into(shelf: Shelf, part: str, target: Any, **options: Any) -> None:
    for found in pairs_of(shelf, part, target, **options):
        plain = shelf.plain[found.reference.part, found.reference.index]
        own = plain if found.view is None else gather(memoryview(plain), found.view)
        found.replace(memoryview(bytearray(own)))


def net() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))


def test_a_module_takes_over_stored_weights_in_place() -> None:
    trained, fresh = net(), net().to(memory_format=torch.channels_last)
    where = [p.data_ptr() for p in fresh.parameters()]
    load_into(shelved({"model": trained.state_dict()}), "model", fresh.state_dict())
    for one, other in zip(trained.state_dict().values(), fresh.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert [p.data_ptr() for p in fresh.parameters()] == where


def test_parameters_that_require_gradients_and_types_without_kernels() -> None:
    stored = {
        "p": torch.ones(2),
        "f8": torch.ones(3).to(torch.float8_e4m3fn),
        "one": torch.tensor(5),
        "e": torch.ones(0),
    }
    target = {
        "p": torch.nn.Parameter(torch.zeros(2)),
        "f8": torch.zeros(3).to(torch.float8_e4m3fn),
        "one": torch.tensor(0),
        "e": torch.ones(0),
    }
    load_into(shelved(stored), "", target)
    assert target["p"].tolist() == [1.0, 1.0]
    assert target["f8"].float().tolist() == [1.0, 1.0, 1.0]
    assert target["one"].item() == 5


def test_windows_of_stored_memory() -> None:
    base = torch.arange(6.0).view(2, 3)
    target = {"all": torch.zeros(2, 3), "row": torch.zeros(3), "turned": torch.zeros(3, 2)}
    load_into(shelved({"m": {"all": base, "row": base[1], "turned": base.t()}}), "m", target)
    assert target["row"].tolist() == [3.0, 4.0, 5.0]
    assert torch.equal(target["turned"], base.t())


def test_arrays() -> None:
    stored = {
        "a": np.arange(4, dtype=">i4"),
        "b": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "s": np.array(["xy"]),
    }
    target = {"a": np.zeros(4, ">i4"), "b": np.zeros((2, 3)), "s": np.array(["  "])}
    load_into(shelved({"x": stored}), "x", target)
    for name, array in stored.items():
        assert (target[name] == array).all()


def test_nested_targets_of_an_optimizer() -> None:
    stored = {"state": {0: {"m": torch.ones(2), "step": torch.tensor(3.0)}}, "groups": [{"lr": torch.tensor(0.5)}]}
    target = {"state": {0: {"m": torch.zeros(2), "step": torch.tensor(0.0)}}, "groups": [{"lr": torch.tensor(0.0)}]}
    load_into(shelved({"opt": stored}), "opt", target)
    assert target["state"][0]["step"].item() == 3  # type: ignore[index]
    assert target["groups"][0]["lr"].item() == 0.5  # type: ignore[index]


def test_everything_that_does_not_fit_is_named_in_one_error() -> None:
    shelf = shelved({"m": {"a": torch.ones(2), "b": torch.ones(2), "c": torch.ones(3), "only": torch.ones(1)}})
    target = {"a": torch.ones(2), "b": torch.ones(2, dtype=torch.float16), "c": torch.ones(4), "new": torch.ones(1)}
    with pytest.raises(PairingError) as caught:
        pairs_of(shelf, "m", target)
    assert str(caught.value) == (
        "the target does not fit: m/only missing in the target; m/new not stored; "
        "m/b (stored float32 [2], target float16 [2]), m/c (stored float32 [3], target float32 [4]) different; "
        "pass a target of the same shapes and types, or strict=False for names that only one side has"
    )
    assert (caught.value.missing, caught.value.unexpected) == (["m/only"], ["m/new"])
    assert isinstance(caught.value, InvalidInputError)


def test_many_names_are_counted() -> None:
    shelf = shelved({"m": {f"w{i}": torch.ones(1) for i in range(9)}})
    with pytest.raises(PairingError, match="m/w0, m/w1, m/w2, m/w3, m/w4 and 4 more missing") as caught:
        pairs_of(shelf, "m", {})
    assert len(caught.value.missing) == 9


def test_names_of_one_side_alone_pass_when_not_strict() -> None:
    shelf = shelved({"m": {"a": torch.ones(2), "b": torch.ones(2)}})
    (found,) = pairs_of(shelf, "m", {"b": torch.zeros(2), "z": torch.zeros(1)}, strict=False)
    assert found.name == "m/b"
    with pytest.raises(PairingError, match="different"):
        pairs_of(shelf, "m", {"b": torch.zeros(3)}, strict=False)


@dataclass
class Averages:
    fast: Any
    slow: Any


class Moments(NamedTuple):
    first: Any
    second: Any


@pytest.fixture
def registered_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_by_class", {})
    monkeypatch.setattr(registry, "_by_name", {})
    register(Averages)
    register(Moments)


@pytest.mark.usefixtures("registered_types")
def test_registered_classes_are_entered_by_their_fields() -> None:
    stored = {"nt": Moments(torch.ones(2), [torch.ones(1)]), "dc": Averages(np.ones(3), {"x": torch.ones(4)})}
    target = {"nt": Moments(torch.zeros(2), [torch.zeros(1)]), "dc": Averages(np.zeros(3), {"x": torch.zeros(4)})}
    for part in ("nt", "dc"):
        load_into(shelved(stored), part, target[part])
    assert target["nt"].first.tolist() == [1, 1]
    assert target["nt"].second[0].tolist() == [1]
    assert target["dc"].fast.tolist() == [1, 1, 1]
    assert target["dc"].slow["x"].tolist() == [1, 1, 1, 1]


@pytest.mark.filterwarnings("ignore:Sparse [BC]S[RC]", "ignore:Sparse invariant")
def test_sparse_targets_of_as_many_values() -> None:
    dense = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    unsorted = torch.sparse_coo_tensor([[1, 0], [0, 1]], [3.0, 2.0], (2, 2))
    stored = {"coo": dense.to_sparse(), "csr": dense.to_sparse_csr(), "unsorted": unsorted}
    other = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    target = {"coo": other.to_sparse(), "csr": other.to_sparse_csr(), "unsorted": other.to_sparse()}
    assert target["unsorted"].is_coalesced()
    load_into(shelved({"m": stored}), "m", target)
    settle(target)
    for name, tensor in target.items():
        assert torch.equal(tensor.to_dense(), dense), name
    assert [target[name].is_coalesced() for name in ("coo", "unsorted")] == [True, False]
    fewer = {**target, "coo": torch.tensor([[1.0, 0.0], [0.0, 0.0]]).to_sparse()}
    with pytest.raises(PairingError, match=r"m/coo/indices \(stored int64 \[2, 2\], target int64 \[2, 1\]\)"):
        pairs_of(shelved({"m": stored}), "m", fewer)


def frozen_array() -> Any:
    array = np.zeros(2, np.float32)
    array.flags.writeable = False
    return array


def inference_tensor() -> torch.Tensor:
    with torch.inference_mode():
        return torch.zeros(2)


@pytest.mark.parametrize(
    ("target", "objection"),
    [
        (lambda: torch.zeros(1).expand(2), "expanded, so that several of its elements are one"),
        (lambda: torch.zeros(2, device="meta"), "on the meta device, which holds no values"),
        (inference_tensor, "made in inference mode, outside of which it is read-only"),
        (frozen_array, "read-only"),
    ],
)
def test_targets_that_cannot_be_written_are_refused_before_anything_changes(target: Any, objection: str) -> None:
    shelf = shelved({"m": {"a": torch.ones(2), "b": torch.ones(2)}})
    with pytest.raises(PairingError) as caught:
        pairs_of(shelf, "m", {"a": torch.zeros(2), "b": target()})
    assert str(caught.value).startswith(f"the target does not fit: m/b ({objection}) impossible to write; ")
    assert caught.value.unwritable == [f"m/b ({objection})"]
