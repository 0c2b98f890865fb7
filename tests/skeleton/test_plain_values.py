"""Python's own values come back equal, type for type and bit for bit."""

from __future__ import annotations

import math
import random
import struct
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skeleton_round_trip import assert_same, shelved, through

from deltackpt.skeleton.capture import capture


def nan_with(payload: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", 0x7FF8 << 48 | payload))[0]


VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63),
    -(2**63) - 1,
    7**500,
    -(7**500),
    0.0,
    -0.0,
    math.inf,
    -math.inf,
    nan_with(0),
    nan_with(12345),
    1e-320,
    "",
    "text",
    "ß→🙂",
    "\ud800",
    "a\x00\n\x1b",
    b"",
    b"\x00\xff",
    bytearray(b"\x01\x02"),
    1j,
    complex(-0.0, math.nan),
    range(3),
    range(10, -(2**70), -3),
    slice(1, None, 2),
    [],
    (),
    {},
    set(),
    frozenset(),
    [1, 2, 3],
    (1, 2, 3),
    (1, True, 1.0),
    [[], [[]]],
    {1, "1", 1.5, None, b"1", (1, 2), frozenset({3})},
    frozenset({2**80, "\ud800"}),
    {True: "yes", "1": 1, 2: True, None: (), 1.5: 0, b"x": -1, (1, (2, None)): []},
    {(True,): "a", (2,): 1},
    OrderedDict(b=1, a=2),
    Counter({3: 2, 5: 1}),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_kind_comes_back_as_itself(value: Any) -> None:
    assert_same(through(value), value)
    assert_same(through({"x": value, "list": [value, value]}), {"x": value, "list": [value, value]})


@pytest.mark.parametrize("factory", [None, int, float, str, list, dict, set, tuple, bool])
def test_a_default_dict_keeps_its_factory(factory: Any) -> None:
    value = defaultdict(factory, {"a": 1, 2: [3]})
    assert_same(through({"d": value}), {"d": value})


def test_true_and_one_stay_apart_as_keys() -> None:
    back = through([{True: 1}, {1: True}, {1.0: 1}])
    assert [type(next(iter(d))) for d in back] == [bool, int, float]


def test_the_order_of_a_dict_is_kept() -> None:
    state = {"z": {"k": 1}, "a": 1, "m": [1], "b": "x"}
    assert list(through(state)) == ["z", "a", "m", "b"]


def test_a_set_is_written_in_one_order() -> None:
    # These hashes collide, so iteration order is the order of insertion.
    forward, backward = set(range(0, 17, 8)), set(range(16, -1, -8))
    assert list(forward) != list(backward)
    assert capture([forward]).parts == capture([backward]).parts


def test_python_random_state_goes_on_where_it_was() -> None:
    rng = random.Random(1)
    rng.gauss(0, 1)
    back = through({"rng": rng.getstate()})["rng"]
    assert_same(back, rng.getstate())
    again = random.Random()
    again.setstate(back)
    assert again.random() == rng.random()


def test_deep_nesting_comes_back() -> None:
    value: Any = 1
    for _ in range(120):
        value = {"k": [value]} if _ % 2 else value
    assert_same(through(value), value)


def test_loading_gives_new_containers_each_time() -> None:
    shelf = shelved({"a": [set(), bytearray()]})
    first, second = shelf.load(), shelf.load()
    first["a"][0].add(1)
    first["a"][1].append(1)
    assert second == {"a": [set(), bytearray()]}


keys = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=4) | st.text(max_size=4),
    lambda inner: st.tuples(inner, inner),
    max_leaves=3,
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.integers(0, 2**51 - 1).map(nan_with)
    | st.complex_numbers()
    | st.text(st.characters())
    | st.binary()
    | st.binary().map(bytearray)
)
states = st.recursive(
    scalars | st.sets(keys, max_size=4) | st.frozensets(keys, max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4).map(OrderedDict)
        | st.dictionaries(keys, inner, max_size=4).map(lambda d: defaultdict(list, d))
    ),
    max_leaves=20,
)


@settings(max_examples=120, deadline=None)
@given(states)
def test_any_nesting_of_plain_values_comes_back_exactly(state: Any) -> None:
    assert_same(through(state), state)
    assert [part.skeleton for part in capture(state).parts] == [part.skeleton for part in capture(through(state)).parts]
