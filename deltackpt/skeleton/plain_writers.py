"""How Python's own types are written, and the registered classes."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from functools import cached_property
from typing import Any

from deltackpt.skeleton.keys import member_node
from deltackpt.skeleton.nodes import Tree
from deltackpt.skeleton.refusal import UnstorableError
from deltackpt.skeleton.registry import Registered
from deltackpt.skeleton.tags import FACTORIES, LARGE_VALUE, Tag
from deltackpt.skeleton.walk import Walk, Writer

INT64 = range(-(1 << 63), 1 << 64)


def _itself(walk: Walk, value: object, path: str) -> None:
    walk.atoms.append(value)


def _text(walk: Walk, value: str, path: str) -> None:
    if len(value) > LARGE_VALUE:
        walk.blob(Tag.SURROGATE_STR, value.encode("utf-8", "surrogatepass"), path)
        return
    if value.isascii():
        walk.atoms.append(value)
        return
    try:
        value.encode()
    except UnicodeEncodeError:
        walk.blob(Tag.SURROGATE_STR, value.encode("utf-8", "surrogatepass"), path)
    else:
        walk.atoms.append(value)


def _integer(walk: Walk, value: int, path: str) -> None:
    if value in INT64:
        walk.atoms += (int(Tag.INT), value)
    else:
        size = value.bit_length() // 8 + 1
        walk.blob(Tag.BIG_INT, value.to_bytes(size, "little", signed=True), path)


def _bytes(walk: Walk, value: bytes, path: str) -> None:
    walk.blob(Tag.BYTES, value, path)


def _bytearray(walk: Walk, value: bytearray, path: str) -> None:
    walk.blob(Tag.BYTEARRAY, value, path)


def _complex(walk: Walk, value: complex, path: str) -> None:
    walk.atoms += (int(Tag.COMPLEX), value.real, value.imag)


def _range(walk: Walk, value: range, path: str) -> None:
    walk.atoms.append(int(Tag.RANGE))
    for bound in (value.start, value.stop, value.step):
        _integer(walk, bound, path)


def _slice(walk: Walk, value: slice, path: str) -> None:
    walk.atoms.append(int(Tag.SLICE))
    for bound in (value.start, value.stop, value.step):
        if bound is not None and type(bound) is not int:
            raise UnstorableError(path, f"a slice of {type(bound).__name__} cannot be stored; use int bounds")
        walk.write(bound, path)


def _sequence(tag: Tag, tag_of_ints: Tag) -> Writer:
    def write(walk: Walk, value: Any, path: str) -> None:
        if value and set(map(type, value)) == {int} and min(value) in INT64 and max(value) in INT64:
            walk.atoms += (int(tag_of_ints), len(value), *value)
            return
        walk.enter(value, path)
        walk.atoms += (int(tag), len(value))
        for index, item in enumerate(value):
            walk.child(item, path, index)
        walk.leave(value)

    return write


def _set(tag: Tag) -> Writer:
    def write(walk: Walk, value: Any, path: str) -> None:
        walk.enter(value, path)
        met: set[Tree] = set()
        elements = sorted((walk.encoded_alone(element, path, met) for element in value), key=lambda alone: alone[0])
        walk.leave(value)
        walk.atoms += (int(tag), len(elements))
        for _, atoms, blobs in elements:
            walk.atoms += atoms
            walk.blobs += blobs

    return write


def _items(walk: Walk, value: dict[Any, Any], path: str) -> None:
    walk.enter(value, path)
    walk.atoms.append(len(value))
    met: set[Tree] = set()
    for key, item in value.items():
        walk.child(item, path, walk.key(key, path, met))
    walk.leave(value)


def _dict(walk: Walk, value: dict[Any, Any], path: str) -> None:
    walk.atoms.append(int(Tag.DICT))
    _items(walk, value, path)


def _counter(walk: Walk, value: Counter[Any], path: str) -> None:
    _refuse_attributes(vars(value), path)
    walk.atoms.append(int(Tag.COUNTER))
    _items(walk, value, path)


def _ordered_dict(walk: Walk, value: OrderedDict[Any, Any], path: str) -> None:
    attributes = vars(value)
    _refuse_attributes(attributes.keys() - {"_metadata"}, path)
    if "_metadata" in attributes:
        walk.atoms.append(int(Tag.STATE_DICT))
        walk.enter(value, path)
        walk.write(attributes["_metadata"], f"{path}._metadata")
        walk.leave(value)
    else:
        walk.atoms.append(int(Tag.ORDERED_DICT))
    _items(walk, value, path)


def _refuse_attributes(names: Any, path: str) -> None:
    if names:
        raise UnstorableError(path, f"the attribute {min(names)!r} of a dict cannot be stored; store it as an item")


def _default_dict(walk: Walk, value: defaultdict[Any, Any], path: str) -> None:
    factory = value.default_factory
    name = next((name for name, known in FACTORIES.items() if known is factory), None)
    if name is None:
        raise UnstorableError(
            path, f"a defaultdict whose factory is {factory!r} cannot be stored; use a plain type, or pass dict(it)"
        )
    walk.atoms += (int(Tag.DEFAULT_DICT), name)
    _items(walk, value, path)


def registered_writer(entry: Registered) -> Writer:
    """How instances of a registered class are written."""
    return _member(entry) if entry.kind in (Tag.ENUM, Tag.FLAG) else _fields(entry)


def _member(entry: Registered) -> Writer:
    def write(walk: Walk, value: Any, path: str) -> None:
        walk.atoms += (int(entry.kind), entry.name)
        walk.write(member_node(entry, value).member, path)

    return write


def _fields(entry: Registered) -> Writer:
    def write(walk: Walk, value: Any, path: str) -> None:
        _refuse_extras(value, entry, path)
        walk.enter(value, path)
        walk.atoms += (int(entry.kind), entry.name, len(entry.fields))
        for name in entry.fields:
            walk.atoms.append(name)
            walk.child(getattr(value, name), path, name)
        walk.leave(value)

    return write


def _refuse_extras(value: Any, entry: Registered, path: str) -> None:
    """An instance has its fields and nothing else, or some of it would be lost; what is computed once is no loss."""
    for name in entry.fields:
        if not hasattr(value, name):
            raise UnstorableError(path, f"the field {name!r} has no value; set it before committing")
    for name in getattr(value, "__dict__", {}).keys() - set(entry.fields):
        if not isinstance(getattr(entry.cls, name, None), cached_property):
            raise UnstorableError(
                path, f"the attribute {name!r} is no field of {entry.name} and would be lost; make it a field"
            )


PLAIN_WRITERS: dict[type, Writer] = {
    type(None): _itself,
    bool: _itself,
    float: _itself,
    str: _text,
    int: _integer,
    bytes: _bytes,
    bytearray: _bytearray,
    complex: _complex,
    range: _range,
    slice: _slice,
    list: _sequence(Tag.LIST, Tag.INT_LIST),
    tuple: _sequence(Tag.TUPLE, Tag.INT_TUPLE),
    set: _set(Tag.SET),
    frozenset: _set(Tag.FROZENSET),
    dict: _dict,
    OrderedDict: _ordered_dict,
    defaultdict: _default_dict,
    Counter: _counter,
}
CONTAINERS = frozenset({list, tuple, set, frozenset, dict, OrderedDict, defaultdict, Counter})
