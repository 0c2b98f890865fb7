"""What changed among the values that are no tensors: learning rates, counters, configuration, metrics."""

from __future__ import annotations

import enum
from collections import Counter, abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deltackpt.checkout.leaves import part_leaves
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository
from deltackpt.skeleton.names import segment, trail
from deltackpt.skeleton.nodes import (
    Fields,
    Member,
    NumpyScalar,
    Sequence,
    TorchDevice,
    TorchDtype,
    TorchSize,
)
from deltackpt.skeleton.nodes import Mapping as MappingNode
from deltackpt.skeleton.tags import Tag

Keys = tuple[object, ...]
"""The way to a value: names can be alike where keys are not, as 1 and "1" are, or "a/b" and "b" within "a"."""

Values = Mapping[Keys, Any]


class _Absent(enum.Enum):
    ABSENT = "absent"

    def __repr__(self) -> str:
        return self.value

    __str__ = __repr__


ABSENT: Final = _Absent.ABSENT
"""Stands for the value of the side that has none: None is a value like any other."""


@dataclass(frozen=True, slots=True)
class ValueChange:
    """Something that is no tensor and differs. The side that lacks it is :data:`ABSENT`.

    ``name`` is as in a name of a tensor; where two would be alike, it is written as Python would: ``['a'][1]``.
    """

    name: str
    old: Any
    new: Any


def differences(old: Values, new: Values) -> tuple[ValueChange, ...]:
    """What differs, in the order of ``old`` and then of ``new``."""
    ways = [*old, *(way for way in new if way not in old)]
    namesakes = Counter(map(_name, ways))
    return tuple(
        ValueChange(
            _name(way) if namesakes[_name(way)] == 1 else trail(way), old.get(way, ABSENT), new.get(way, ABSENT)
        )
        for way in ways
        if not _same(old, new, way)
    )


def _name(way: Keys) -> str:
    return "/".join(map(segment, way))


def _same(old: Values, new: Values, way: Keys) -> bool:
    before, after = old.get(way, ABSENT), new.get(way, ABSENT)
    if type(before) is not type(after):
        return False
    # Not by value: NaN is the same as NaN, and 0.0 is not -0.0.
    if hasattr(before, "dtype"):
        return bool(before.dtype == after.dtype and before.tobytes() == after.tobytes())
    return repr(before) == repr(after) if isinstance(before, float | complex) else bool(before == after)


def state_values(repository: Repository, commit: Commit) -> Values:
    """The plain values of a state, by the keys that lead to them."""
    found: dict[Keys, Any] = {}
    for entry in commit.parts:
        found.update((leaf.keys, _shown(leaf.value)) for leaf in part_leaves(repository, commit, entry.name).values)
    return found


def _shown(tree: Any) -> Any:
    """A value as Python has it; what takes a library or a class that need not be there, as its text."""
    match tree:
        case NumpyScalar():
            from deltackpt.skeleton.numpy_build import scalar

            return scalar(tree)
        case TorchSize() | TorchDtype() | TorchDevice() | Member():
            return repr(tree)
        case Sequence(tag=tag):
            return [] if tag in (Tag.LIST, Tag.INT_LIST) else ()
        case MappingNode():
            return {}
        case Fields(name=name):
            return f"{name}()"
    return tree


def plain_values(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """The entries of a configuration, by the keys that lead to them; an empty container is an entry of its own."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from plain_values(item, (*keys, key))
    elif isinstance(value, abc.Sequence) and not isinstance(value, str | bytes) and value:
        for at, item in enumerate(value):
            yield from plain_values(item, (*keys, at))
    elif keys or value:
        yield keys, value
