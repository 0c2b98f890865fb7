"""Named tuples, enums and dataclasses pass once they are registered, and only under the name they were given."""

from __future__ import annotations

import dataclasses
import enum
from collections import namedtuple
from typing import Any, NamedTuple

import pytest
import torch
from registered import Level, Options
from skeleton_round_trip import assert_same, shelved, through

from deltackpt.skeleton import registry
from deltackpt.skeleton.registry import RegistrationError, register


@register
class Pair(NamedTuple):
    weight: Any
    step: int


@register
@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    epoch: int
    best: Any
    seen: dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.epoch < 0:
            raise ValueError("epochs count from 0")


@register
class Phase(enum.Enum):
    WARMUP = "w"
    MAIN = "m"


def test_registered_classes_come_back() -> None:
    state = {
        "pair": Pair(torch.ones(2), 3),
        "progress": Progress(2, torch.zeros(1), {"a": 1}),
        "phase": [Phase.MAIN, Phase.WARMUP, Level.LOW, Options.A | Options.B, Options(0)],
    }
    assert_same(through(state), state)


def test_fields_are_levels_of_a_name_and_containers_are_parts() -> None:
    shelf = shelved({"progress": Progress(1, torch.ones(1)), "phase": Phase.MAIN})
    assert list(shelf.tables) == ["", "progress"]
    assert shelf.names("progress") == ["progress/best"]


def test_a_constructor_does_not_run() -> None:
    odd = Progress(0, None)
    object.__setattr__(odd, "epoch", -1)
    assert through([odd])[0].epoch == -1


def test_a_class_that_is_not_registered_here(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = shelved([Phase.MAIN])
    monkeypatch.delitem(registry._by_name, f"{__name__}.Phase")
    with pytest.raises(RegistrationError, match=r"call deltackpt.register on that class before loading"):
        shelf.load()


def test_a_name_of_its_own_survives_a_move() -> None:
    old = namedtuple("old", "a b")
    register(old, "test.moved")
    shelf = shelved([old(1, 2)])
    registry._by_name.pop("test.moved")
    new = namedtuple("new", "a b")
    register(new, "test.moved")
    assert_same(shelf.load(), [new(1, 2)])


def test_a_class_whose_fields_changed() -> None:
    old = namedtuple("old", "a b")
    register(old, "test.changed")
    shelf = shelved([old(1, 2)])
    registry._by_name.pop("test.changed")
    register(namedtuple("new", "a c"), "test.changed")
    with pytest.raises(RegistrationError, match=r"stored with fields \['a', 'b'\]"):
        shelf.load()


def test_a_member_that_is_gone() -> None:
    register(enum.Enum("E", "A B"), "test.enum")
    shelf = shelved([registry._by_name["test.enum"].cls.B])  # type: ignore[attr-defined]
    registry._by_name.pop("test.enum")
    register(enum.Enum("E", "A C"), "test.enum")
    with pytest.raises(RegistrationError, match="has no member 'B'"):
        shelf.load()


def test_a_name_that_is_taken() -> None:
    with pytest.raises(RegistrationError, match="is registered for"):
        register(namedtuple("other", "a"), f"{__name__}.Pair")


@pytest.mark.parametrize("thing", [int, dict, object, 5, torch.nn.Linear], ids=repr)
def test_other_things_are_refused(thing: Any) -> None:
    with pytest.raises(RegistrationError):
        register(thing)


def test_a_dataclass_on_top_of_a_container_is_refused() -> None:
    with pytest.raises(RegistrationError):
        register(dataclasses.make_dataclass("Output", ["a"], bases=(dict,)))
