"""The tree of a state says everything: PyTorch makes from it, type for type, what ``torch.load`` loads."""

from __future__ import annotations

import argparse
import collections
import io
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from made_again import Maker, same
from pickled_states import STATES, WEIGHT, trained_optimizer
from readings import CONTAINERS, LEGACY, saved, sound

from deltackpt.formats.pickles import Objection, State

NEW_TYPES = [torch.arange(4).to(dtype) for dtype in (torch.uint16, torch.uint32, torch.float8_e5m2)]


def state_of(raw: bytes) -> State:
    state = sound(raw).state
    assert state is not None
    return state


def loaded(raw: bytes, weights_only: bool = True) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(raw), weights_only=weights_only, map_location=None)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", CONTAINERS, ids=["zip", "legacy"])
@pytest.mark.parametrize("name", STATES)
def test_a_state_is_made_again_as_pytorch_loads_it(name: str, options: dict[str, Any]) -> None:
    raw = saved(STATES[name], **options)
    state = state_of(raw)
    assert state.objections() == ()
    same(Maker(state, raw).root(), loaded(raw))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_gives_the_same_state(protocol: int) -> None:
    value = {**trained_optimizer(), "more": STATES["values"], "sets": STATES["containers"]}
    raw = saved(value, pickle_protocol=protocol)
    same(Maker(state_of(raw), raw).root(), loaded(raw, weights_only=False))


def test_a_storage_may_stand_in_a_state_by_itself() -> None:
    raw = saved({"storage": torch.ones(3).untyped_storage(), "n": 1})
    same(Maker(state_of(raw), raw).root(), loaded(raw))


def test_types_that_came_after_typed_storages() -> None:
    raw = saved(NEW_TYPES)
    same(Maker(state_of(raw), raw).root(), loaded(raw))


@pytest.mark.parametrize("protocol", [2, 5])
def test_numpy_values_are_offered_too(protocol: int) -> None:
    value = {
        "rng": np.random.RandomState(0).get_state(),
        "arrays": [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((2, 3), "i2")), np.array([], "f4")],
        "scalars": [np.float32(1.5), np.int64(-3), np.bool_(True)],
        "default": collections.defaultdict(list, {"a": [1]}),
        "bounds": [range(1, 9, 2), slice(None, 3), frozenset({1})],
    }
    raw = saved(value, pickle_protocol=protocol)
    state = state_of(raw)
    assert state.objections() == ()
    same(Maker(state, raw).root(), loaded(raw, weights_only=False))


def objections(value: Any, **options: Any) -> tuple[Objection, ...]:
    return state_of(saved(value, **options)).objections()


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def twins(levels: int) -> Any:
    """Two to the power of ``levels`` lists, written out; a few when shared."""
    value: Any = []
    for _ in range(levels):
        value = [value, value]
    return value


def ouroboros() -> Any:
    cycle: list[object] = []
    cycle.append({"again": cycle})
    return cycle


def test_an_object_is_named_with_its_place() -> None:
    value = {"args": argparse.Namespace(lr=1), "model": {"w": WEIGHT}, "kinds": [1, argparse.Namespace]}
    assert objections(value) == (Objection("args", "argparse.Namespace"), Objection("kinds/1", "argparse.Namespace"))


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (ouroboros(), "a value that contains itself"),
        (nested(200), "a value nested deeper than 128 levels"),
        (twins(60), "more than 8388608 values"),
        ([np.array([{}], dtype=object)], "a NumPy array of objects"),
        ([np.zeros(2, "i4,f8")], "a NumPy array of type V12"),
    ],
    ids=["cycle", "depth", "size", "objects", "structured"],
)
def test_what_cannot_be_made_again_is_named(value: Any, what: str) -> None:
    assert what in [objection.what for objection in objections(value)]


def test_objections_are_counted_to_64() -> None:
    assert len(objections([argparse.Namespace(number=i) for i in range(1000)])) == 64


def test_the_tree_is_at_hand_for_old_files_too() -> None:
    assert objections({"a": argparse.Namespace()}, **LEGACY) == (Objection("a", "argparse.Namespace"),)
