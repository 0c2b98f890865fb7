"""Dictionary keys and elements of sets: whatever a state may hold and Python can hash, and it comes back as that."""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter, defaultdict, namedtuple
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from registered import Level, Options
from skeleton_round_trip import assert_same, shelved, through

from deltackpt.errors import DeltackptError
from deltackpt.skeleton import registry
from deltackpt.skeleton.leaves import leaves
from deltackpt.skeleton.pairing import pair
from deltackpt.skeleton.read import read_skeleton
from deltackpt.skeleton.registry import RegistrationError, register


@register
class Split(enum.Enum):
    TRAIN = "train"
    TEST = "test"


@register
class Place(NamedTuple):
    layer: int
    split: Any


@register
@dataclasses.dataclass(frozen=True)
class Group:
    name: str
    members: frozenset[Any] = frozenset()


KEYS: list[Any] = [
    Split.TRAIN,
    Level.LOW,
    Options.A | Options.B,
    Place(1, Split.TEST),
    Place(2, Place(3, None)),
    Group("decay", frozenset({Place(0, 0), "bias"})),
    (1, (Split.TEST, "w")),
    frozenset({Split.TEST, frozenset({Level.LOW})}),
    np.int64(3),
    np.float32(-0.5),
    np.str_("text"),
    np.bytes_(b"raw\x00"),
    np.datetime64("2026-11-25"),
    torch.float32,
    torch.device("cuda:1"),
    torch.Size([2, 3]),
]


@pytest.mark.parametrize("key", KEYS, ids=[f"{at}-{type(key).__name__}" for at, key in enumerate(KEYS)])
def test_a_key_and_an_element_come_back_type_for_type(key: Any) -> None:
    state = {"dict": {key: "value"}, "set": {key}, "frozen": frozenset({(key,)}), "count": Counter({key: 2})}
    back = through(state)
    assert_same(back["dict"], state["dict"])
    assert [type(element) for element in back["set"]] == [type(key)]
    assert back == state


def test_containers_of_several_at_once() -> None:
    state = {"seen": set(KEYS), "by": defaultdict(list, {key: [number] for number, key in enumerate(KEYS)})}
    assert_same(through(state), state)


def test_equal_sets_are_stored_alike_whatever_their_order() -> None:
    forward, backward = {}, {}
    for key in KEYS:
        forward[key] = None
    for key in reversed(KEYS):
        backward[key] = None
    assert shelved([set(forward)]).skeletons == shelved([set(backward)]).skeletons


def test_tensors_below_such_keys_have_names_that_a_live_target_has_too() -> None:
    state = {
        "m": {Split.TRAIN: torch.ones(2), np.int64(3): {torch.float16: torch.zeros(3)}, Place(1, "q"): torch.ones(1)}
    }
    shelf = shelved(state)
    assert shelf.names("m") == [
        f"m/{__name__}.Split.TRAIN",
        "m/np.int64(3)/torch.float16",
        f"m/{__name__}.Place(layer=1, split='q')",
    ]
    pairs = pair(state["m"], leaves(read_skeleton(shelf.skeletons["m"], "m")), shelf.tables, part="m")
    assert [one.name for one in pairs] == shelf.names("m")


def test_members_that_became_equal_are_not_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_by_class", dict(registry._by_class))
    monkeypatch.setattr(registry, "_by_name", dict(registry._by_name))
    register(enum.Enum("E", {"A": 1, "B": 2}), "test.keys.enum")
    members = list(registry._by_name["test.keys.enum"].cls)  # type: ignore[call-overload]
    shelves = [shelved([set(members)]), shelved([dict.fromkeys(members)])]
    registry._by_name.pop("test.keys.enum")
    register(enum.Enum("E", {"A": 1, "B": 1}), "test.keys.enum")
    for shelf in shelves:
        with pytest.raises(
            RegistrationError, match=r"some are equal now: \[test\.keys\.enum\.[AB], test\.keys\.enum\.[AB]\]"
        ):
            shelf.load()


def test_a_class_that_cannot_be_hashed_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_by_class", dict(registry._by_class))
    monkeypatch.setattr(registry, "_by_name", dict(registry._by_name))
    register(frozen := dataclasses.make_dataclass("D", ["a"], frozen=True), "test.keys.data")
    shelf = shelved([{frozen(1)}])
    registry._by_name.pop("test.keys.data")
    register(dataclasses.make_dataclass("D", ["a"]), "test.keys.data")
    with pytest.raises(RegistrationError, match=r"test\.keys\.data\(a=1\) cannot be a key: unhashable type: 'D'"):
        shelf.load()


def test_what_is_within_a_key_must_be_one_itself() -> None:
    point = namedtuple("point", "x")
    register(point, "test.keys.point")
    for element, reason in [
        (point(torch.ones(1)), "Tensor cannot"),
        (Group("g", frozenset({point(object())})), "object cannot"),
    ]:
        with pytest.raises(DeltackptError, match=f"^seen/0: {reason} be stored as a key or a set element"):
            shelved({"seen": [{element}]})
