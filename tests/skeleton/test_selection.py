"""Loading a part, or what a glob over complete names chooses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from skeleton_round_trip import Shelf, assert_same, shelved

from deltackpt.errors import NotFoundError
from deltackpt.skeleton.restore import Restoration
from deltackpt.skeleton.selection import SelectionError

A, B, C = torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([3.0])


@pytest.fixture
def shelf() -> Shelf:
    return shelved(
        {
            "model": OrderedDict([("h.0.w", A), ("h.1.w", B), ("deep", {"x": 1, "y": {}})]),
            "optimizer": {"state": {3: {"exp_avg": C, "step": 7}}, "groups": [{"lr": 0.1, "on": True}, {"lr": 0.2}]},
            "step": 5,
            "loss": torch.tensor([4.0]),
        }
    )


def test_everything_under_a_name(shelf: Shelf) -> None:
    back = shelf.load(select="model/*")
    assert_same(back, {"model": OrderedDict([("h.0.w", A), ("h.1.w", B), ("deep", {"x": 1, "y": {}})])})


def test_one_tensor_needs_one_buffer(shelf: Shelf) -> None:
    restoration = Restoration(shelf.skeletons, shelf.tables, select="model/h.1.*")
    assert list(restoration.destinations) == [("model", 1)]


def test_elements_that_are_not_chosen_become_none(shelf: Shelf) -> None:
    assert shelf.load(select="*/1/lr") == {"optimizer": {"groups": [None, {"lr": 0.2}]}}


def test_plain_leaves_are_chosen_by_name(shelf: Shelf) -> None:
    assert shelf.load(select="*st[e]p") == {"optimizer": {"state": {3: {"step": 7}}}, "step": 5}
    assert shelf.load(select="step") == {"step": 5}


def test_the_order_of_the_top_level_is_kept(shelf: Shelf) -> None:
    assert list(shelf.load(select="*")) == ["model", "optimizer", "step", "loss"]
    assert list(shelf.load(select="*o*")) == ["model", "optimizer", "loss"]


def test_a_part_by_itself(shelf: Shelf) -> None:
    back = shelf.load(part="optimizer")
    assert_same(back["state"], {3: {"exp_avg": C, "step": 7}})
    assert_same(shelf.load(part=""), {"step": 5, "loss": torch.tensor([4.0])})


def test_within_a_part_names_are_complete_still(shelf: Shelf) -> None:
    assert_same(shelf.load(part="model", select="model/h.0.w"), OrderedDict([("h.0.w", A)]))


def test_case_matters(shelf: Shelf) -> None:
    with pytest.raises(SelectionError):
        shelf.load(select="MODEL/*")


def test_a_pattern_without_a_match_names_what_comes_close(shelf: Shelf) -> None:
    with pytest.raises(SelectionError) as caught:
        shelf.load(select="model/h.2.w")
    assert str(caught.value) == "nothing matches 'model/h.2.w'; near matches: model/h.1.w, model/h.0.w"
    assert isinstance(caught.value, NotFoundError)


def test_a_pattern_for_a_part_that_is_not_there_looks_at_all_names(shelf: Shelf) -> None:
    with pytest.raises(SelectionError, match="optimizer/state/3/exp_avg"):
        shelf.load(select="optim/state/3/exp_avg")


def test_a_part_that_is_not_there(shelf: Shelf) -> None:
    with pytest.raises(NotFoundError, match=r"no part ema here; parts are '', 'model', 'optimizer'"):
        shelf.load(part="ema")


class Lazy(Mapping[str, Any]):
    """Tells which parts were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values_of = values
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return self.values_of[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_of)

    def __len__(self) -> int:
        return len(self.values_of)


@pytest.mark.parametrize(
    ("chosen", "asked"),
    [
        ({"part": "model"}, {"model"}),
        ({"select": "model/*"}, {"", "model"}),
        ({"select": "model"}, {"", "model"}),
        ({"select": "m*"}, {"", "model"}),
        ({"select": "step"}, {""}),
        ({"select": "*"}, {"", "model", "optimizer"}),
        ({}, {"", "model", "optimizer"}),
    ],
)
def test_only_the_parts_that_matter_are_read(shelf: Shelf, chosen: dict[str, str], asked: set[str]) -> None:
    skeletons, tables = Lazy(shelf.skeletons), Lazy(shelf.tables)
    if chosen != {"select": "model"}:
        Restoration(skeletons, tables, **chosen)
        assert skeletons.asked == asked
        assert tables.asked <= asked
    else:
        with pytest.raises(SelectionError):
            Restoration(skeletons, tables, **chosen)


def test_a_state_that_is_no_dict_is_one_part() -> None:
    shelf = shelved([A, {"b": B}])
    assert shelf.names("") == ["0", "1/b"]
    assert_same(shelf.load(select="1/*"), [None, {"b": B}])
    assert_same(shelved(A).load(), A)
    assert shelved(A).names("") == [""]


def test_a_dict_with_other_keys_is_one_part() -> None:
    shelf = shelved({"model": {"w": A}, 3: {"v": B}})
    assert list(shelf.tables) == [""]
    assert shelf.names("") == ["model/w", "3/v"]


def test_a_flat_state_dict_is_one_part() -> None:
    net = torch.nn.Linear(2, 2)
    shelf = shelved(net.state_dict())
    assert list(shelf.tables) == [""]
    assert shelf.names("") == ["weight", "bias"]
    back = shelf.load(select="bias")
    assert list(back) == ["bias"]
    assert back._metadata == net.state_dict()._metadata


def test_keys_that_cannot_name_a_part_stay_in_the_root() -> None:
    state = {"": {"a": A}, "\ud800": {"b": B}, "ok": {"c": C}}
    shelf = shelved(state)
    assert list(shelf.tables) == ["", "ok"]
    assert shelf.names("") == ["a", "\\ud800/b"]
    assert_same(shelf.load(), state)


def test_sparse_tensors_are_chosen_whole() -> None:
    sparse = torch.eye(2).to_sparse()
    shelf = shelved({"m": {"s": sparse, "d": A}})
    assert shelf.names("m") == ["m/s/indices", "m/s/values", "m/d"]
    for pattern in ("m/s", "m/s/*", "m/s/values"):
        assert list(shelf.load(select=pattern)["m"]) == ["s"]
