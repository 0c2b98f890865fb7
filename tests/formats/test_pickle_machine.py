"""A pickle is read as what it says: plain values as themselves, in every protocol, and all else as inert nodes."""

from __future__ import annotations

import argparse
import collections
import datetime
import fractions
import gc
import pathlib
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pickled_classes import Colour, Listed

from deltackpt.errors import FormatError
from deltackpt.formats.pickles import read_pickle
from deltackpt.formats.pickles.nodes import Dict, Node, Opaque, Set, Symbol
from deltackpt.formats.pickles.tape import PickleCutError

PROTOCOLS = range(6)
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def read(value: object, protocol: int = 2) -> Node:
    raw = pickle.dumps(value, protocol)
    unpickled = read_pickle(raw, 0, "f")
    assert unpickled.end == len(raw)
    assert unpickled.fault is None
    return unpickled.root


def live(node: Node) -> Any:
    """The Python value that a tree of plain values stands for."""
    match node:
        case list() | tuple():
            return type(node)(live(item) for item in node)
        case Dict(kind="dict"):
            return {live(key): live(item) for key, item in node.pairs}
        case Dict(kind="OrderedDict"):
            return collections.OrderedDict((live(key), live(item)) for key, item in node.pairs)
        case Dict(kind="Counter"):
            return collections.Counter({live(key): live(item) for key, item in node.pairs})
        case Set():
            return (frozenset if node.frozen else set)(live(item) for item in node.items)
        case _:
            return node


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(1 << 400), 1 << 400),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(st.characters(), max_size=20),
    st.binary(max_size=20),
    st.builds(bytearray, st.binary(max_size=20)),
    st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 3)),
    st.builds(slice, st.none() | st.integers(), st.none() | st.integers(), st.none() | st.integers()),
)
keys = st.one_of(st.text(max_size=5), st.integers(), st.tuples(st.integers(), st.text(max_size=3)))
values = st.recursive(
    scalars | st.sets(keys, max_size=4) | st.frozensets(keys, max_size=4),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4).map(collections.OrderedDict),
    ),
    max_leaves=25,
)


@settings(max_examples=300)
@given(values, st.sampled_from(PROTOCOLS))
def test_plain_values_are_themselves(value: object, protocol: int) -> None:
    found = live(read(value, protocol))
    assert found == value
    assert type(found) is type(value)
    assert repr(found) == repr(value) or isinstance(value, (set, frozenset, dict, list, tuple))


@every_protocol
def test_what_is_shared_is_one_node(protocol: int) -> None:
    inner = [1]
    first, second, other = read([inner, inner, [1]], protocol)
    assert first is second
    assert first is not other


@every_protocol
def test_a_list_that_holds_itself_is_read(protocol: int) -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    found = read(cycle, protocol)
    assert found[0] is found


@every_protocol
def test_other_dictionaries(protocol: int) -> None:
    counted = read(collections.Counter("aab"), protocol)
    assert (counted.kind, counted.pairs) == ("Counter", [("a", 2), ("b", 1)])
    grouped = read(collections.defaultdict(list, {1: [2]}), protocol)
    assert (grouped.kind, grouped.factory, grouped.pairs) == ("defaultdict", "list", [(1, [2])])
    assert read(collections.defaultdict(None), protocol).factory == "None"


@every_protocol
def test_an_ordered_dict_keeps_its_attributes(protocol: int) -> None:
    made = collections.OrderedDict(a=1)
    made._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    found = read(made, protocol)
    assert found.pairs == [("a", 1)]
    ((key, metadata),) = found.attributes.pairs
    assert key == "_metadata"
    assert live(metadata) == {"": {"version": 1}}


OBJECTS = (
    (argparse.Namespace(lr=0.1), "argparse.Namespace"),
    (pathlib.PurePosixPath("/x"), "pathlib.PurePosixPath"),
    (datetime.date(2020, 1, 2), "datetime.date"),
    (Colour.RED, "pickled_classes.Colour"),
    (Listed([1, 2]), "pickled_classes.Listed"),
    (collections.deque([1], 3), "collections.deque"),
    (fractions.Fraction(1, 3), "fractions.Fraction"),
)


@every_protocol
@pytest.mark.parametrize(("value", "name"), OBJECTS, ids=[name for _, name in OBJECTS])
def test_an_object_is_opaque_under_its_name(value: object, name: str, protocol: int) -> None:
    found = read(value, protocol)
    assert isinstance(found, Opaque)
    assert found.name == name


def test_what_an_object_holds_is_kept() -> None:
    found = read(argparse.Namespace(lr=0.1))
    assert live(found.state) == {"lr": 0.1}
    assert read(collections.deque([1, 2], 3)).items == [1, 2]


@every_protocol
def test_a_class_is_its_name(protocol: int) -> None:
    assert read(argparse.Namespace, protocol) == Symbol("argparse.Namespace")
    assert read(len, protocol) == Symbol("builtins.len")


@every_protocol
def test_every_truncation_is_seen(protocol: int) -> None:
    raw = pickle.dumps({"a": [1, 2.5, "x", b"y", (1, 2, 3)], "n": argparse.Namespace(a=1)}, protocol)
    for size in range(len(raw)):
        with pytest.raises((PickleCutError, FormatError), match="f: "):
            read_pickle(raw[:size], 0, "f")


def test_positions_count_from_the_start_of_the_file() -> None:
    with pytest.raises(FormatError) as caught:
        read_pickle(b"N\xff", 1000, "model.pt")
    assert str(caught.value) == (
        r"model.pt: an opcode at byte 1001; expected one of the protocols 0 to 5, found b'\xff'"
    )


def test_strings_of_python_2() -> None:
    for raw in (b"U\x02\xc3\xa9.", b"T\x02\0\0\0\xc3\xa9.", rb"S'\xc3\xa9'" + b"\n."):
        assert read_pickle(raw, 0, "f").root == "é"
    assert read_pickle(b"U\x01\xff.", 0, "f").root == b"\xff"
    assert read_pickle(rb"S'a\n\'\"\\\101\q'" + b"\n.", 0, "f").root == "a\n'\"\\A\\q"
    assert read_pickle(rb"V\u00e9" + b"\n.", 0, "f").root == "é"


def test_names_of_python_2_are_those_of_today() -> None:
    assert read_pickle(b"c__builtin__\nset\n.", 0, "f").root == Symbol("builtins.set")


def test_the_collector_is_on_again_afterwards() -> None:
    assert gc.isenabled()
    with pytest.raises(FormatError):
        read_pickle(b"", 0, "f")
    assert gc.isenabled()
