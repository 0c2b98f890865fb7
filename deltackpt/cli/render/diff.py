"""What changed between two commits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from deltackpt.cli.columns import aligned
from deltackpt.cli.render.commits import commit_document
from deltackpt.cli.text import counted, figure, percent, shape, shown
from deltackpt.diff.diff import Diff, TensorChange
from deltackpt.diff.values import ABSENT, ValueChange
from deltackpt.errors import brief

_HEAD = ("changed", "type", "shape", "values", "L2", "max")
_RIGHT = frozenset({3, 4, 5})
_VALUE_LIMIT = 60
_VALUES_SHOWN = 100
_VALUES_OF_A_LIST = 8
# The name of a configuration that is a single value.
WHOLE = "(all of it)"


def diff_lines(diff: Diff, limit: int | None) -> Iterator[str]:
    """``limit`` bounds the table of changed tensors, largest change first."""
    yield f"from {diff.old.description} to {diff.new.description}"
    for title, changes in (("metrics", diff.metrics), ("config", diff.config), ("values", diff.values)):
        yield from _values(title, changes)
    yield from (f"- {shown(name)}" for name in diff.removed)
    yield from (f"+ {shown(name)}" for name in diff.added)
    yield from _changed(diff.changed, limit)
    counts = (len(diff.changed), len(diff.added), len(diff.removed), diff.unchanged)
    words = ("changed", "added", "removed", "the same")
    tally = ", ".join(f"{count:,} {word}" for count, word in zip(counts, words, strict=True))
    yield f"{counted(sum(counts), 'tensor')}: {tally}"


def _changed(changes: Sequence[TensorChange], limit: int | None) -> Iterator[str]:
    if not changes:
        return
    yield from aligned([_HEAD, *map(_row, changes[:limit])], _RIGHT)
    if limit is not None and len(changes) > limit:
        yield f"... and {counted(len(changes) - limit, 'tensor')} that changed less"


def _row(change: TensorChange) -> tuple[str, ...]:
    form = (shown(change.name), change.dtype, shape(change.shape))
    if change.reshaped is not None:
        return (*form, f"was {change.reshaped}", "", "")
    found = change.change
    ill = f" ({found.nonfinite:,} non-finite)" if found.nonfinite else ""
    l2, largest = (figure(found.l2), figure(found.largest)) if found.measured else ("-", "-")
    return (*form, percent(found.fraction), l2, largest + ill)


def _values(title: str, changes: Sequence[ValueChange]) -> Iterator[str]:
    rows = list(_value_rows(changes))
    if rows:
        yield title
        yield from aligned(rows[:_VALUES_SHOWN], indent="  ")
    if len(rows) > _VALUES_SHOWN:
        yield f"  ... and {counted(len(rows) - _VALUES_SHOWN, 'value')}"


def _value_rows(changes: Sequence[ValueChange]) -> Iterator[tuple[str, str, str, str]]:
    """A row for each value, but one for a list of which many differ: the state of Python's random numbers has 625."""
    for name, group in groupby(changes, lambda change: _list_of(change.name)):
        found = list(group)
        if name and len(found) > _VALUES_OF_A_LIST:
            yield shown(name), counted(len(found), "value"), "", ""
        else:
            yield from ((shown(change.name) or WHOLE, *_sides(change)) for change in found)


def _list_of(name: str) -> str:
    """The list that a value stands in, by its name; nothing for any other value."""
    whole, _, last = name.rpartition("/")
    return whole if last.isdecimal() else ""


def _sides(change: ValueChange) -> tuple[str, str, str]:
    """``0.1 -> 0.2``, with more digits where the short form of both would be the same."""
    old, new = _value(change.old), _value(change.new)
    return (brief(change.old), "->", brief(change.new)) if old == new else (old, "->", new)


def _value(value: object) -> str:
    match value:
        case None:
            return "none"
        case float():
            return f"{value:.6g}"
        case str():
            return shown(value, _VALUE_LIMIT)
    return shown(str(value) if value is ABSENT or hasattr(value, "dtype") else brief(value), _VALUE_LIMIT)


def diff_document(diff: Diff) -> dict[str, Any]:
    return {
        "old": commit_document(diff.old),
        "new": commit_document(diff.new),
        "added": diff.added,
        "removed": diff.removed,
        "unchanged": diff.unchanged,
        "changed": [
            {
                "name": change.name,
                "dtype": change.dtype,
                "shape": change.shape,
                "reshaped": change.reshaped,
                "elements": change.change.elements,
                "changed": change.change.changed,
                "fraction": change.change.fraction,
                "l2": change.change.l2,
                "max": change.change.largest,
                "nonfinite": change.change.nonfinite,
            }
            for change in diff.changed
        ],
        "values": _documents(diff.values),
        "config": _documents(diff.config),
        "metrics": _documents(diff.metrics),
    }


def _documents(changes: Sequence[ValueChange]) -> list[dict[str, Any]]:
    """A side that is absent has no key: null is a value."""
    return [
        {"name": change.name}
        | {side: value for side, value in (("old", change.old), ("new", change.new)) if value is not ABSENT}
        for change in changes
    ]
