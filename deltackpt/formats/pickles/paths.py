"""The way from the root of a tree to a node, and the name that it gives to a tensor there.

Names are those of a live state: ``/`` between levels, string keys as they are, other keys as Python writes them.
"""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.formats.names import is_unsafe
from deltackpt.formats.pickles.nodes import Node

MAX_LEVELS = 128
MAX_NAME_BYTES = 1024
"""Of a name in UTF-8. What lies deeper or has a longer name gets a number instead."""

_LONGEST_KEY = 8
_LARGEST_INTEGER = 1 << 256


@dataclass(frozen=True, slots=True)
class Step:
    """``key`` below ``parent``; the root is None. Kept as links, since a path written out for every node
    of a deep tree would cost the square of its depth."""

    parent: Step | None
    key: Node


def name_of(step: Step | None) -> str | None:
    """The name of what stands at ``step``; None when it is too long, too deep, or could be taken for a path out."""
    segments: list[str] = []
    left = MAX_NAME_BYTES + 1
    while step is not None:
        text = _segment(step.key)
        if text is None or len(segments) == MAX_LEVELS:
            return None
        left -= len(text.encode()) + 1
        if left < 0:
            return None
        segments.append(text)
        step = step.parent
    name = "/".join(reversed(segments))
    return None if is_unsafe(name) else name


def _segment(key: Node) -> str | None:
    """One level of a name; None for a key that has no short text."""
    parts = key if type(key) is tuple else (key,)
    if len(parts) > _LONGEST_KEY or not all(map(_is_short, parts)):
        return None
    text = key if type(key) is str else repr(key)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _is_short(key: Node) -> bool:
    match key:
        case None | bool() | float():
            return True
        case int():
            return abs(key) < _LARGEST_INTEGER
        case str() | bytes():
            return len(key) <= MAX_NAME_BYTES
        case _:
            return False
