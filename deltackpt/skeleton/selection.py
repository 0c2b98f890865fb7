"""Keeping only some leaves of a tree.

A pattern is a shell glob over complete names, where ``*`` also matches ``/``. Entries of a dict under which nothing is
selected are dropped; elements of lists and tuples, and fields, keep their places as None.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from typing import Any, Final

from deltackpt.errors import NotFoundError
from deltackpt.skeleton.leaves import keys_of
from deltackpt.skeleton.names import joined, segment
from deltackpt.skeleton.nodes import Composite, Fields, Mapping, PartHere, Sequence, Tree

Chosen = Callable[[str], bool]
_WILDCARD = re.compile(r"[*?\[]")


class _Nothing:
    """What is left of a tree when none of it was chosen."""


NOTHING: Final = _Nothing()


class SelectionError(NotFoundError):
    """A pattern that no leaf's name matches."""


def chooser(pattern: str) -> Chosen:
    """Whether a complete name matches the glob ``pattern``; case matters on every system."""
    match = re.compile(fnmatch.translate(pattern)).match
    return lambda name: match(name) is not None


def may_hold(part: str, pattern: str) -> bool:
    """Whether a name in ``part`` can match at all, by what the pattern says before its first wildcard."""
    wildcard = _WILDCARD.search(pattern)
    start = pattern[: wildcard.start()] if wildcard else pattern
    return start.startswith(f"{part}/") or f"{part}/".startswith(start) or start == part


def chosen_of(tree: Tree, path: str, chosen: Chosen, parts: Container[str] = ()) -> Tree:
    """What is left of ``tree``, which stands at ``path``; :data:`NOTHING` when no leaf is chosen.

    ``parts`` are those of which something was chosen: their places in the root stay.
    """
    if isinstance(tree, PartHere):
        return tree if tree.name in parts else NOTHING
    if isinstance(tree, Sequence | Mapping | Fields) and tree.items:
        kept = []
        for key, item in zip(keys_of(tree), tree.items, strict=True):
            kept.append(chosen_of(item, joined(path, segment(key)), chosen, parts))
        return _rebuilt(tree, kept)
    names = [path]
    if isinstance(tree, Composite):
        names += [joined(path, name) for name in tree.part_names]
    return tree if any(map(chosen, names)) else NOTHING


def _rebuilt(tree: Sequence | Mapping | Fields, kept: list[Any]) -> Tree:
    if all(item is NOTHING for item in kept):
        return NOTHING
    if isinstance(tree, Mapping):
        pairs = [(key, item) for key, item in zip(tree.keys, kept, strict=True) if item is not NOTHING]
        return replace(tree, keys=[key for key, _ in pairs], items=[item for _, item in pairs])
    return replace(tree, items=[None if item is NOTHING else item for item in kept])


def nothing_matches(pattern: str, names: Iterable[str]) -> SelectionError:
    """The error for a pattern without a match, with the names that come closest."""
    near = difflib.get_close_matches(pattern, list(names), n=3, cutoff=0.6)
    hint = f"near matches: {', '.join(near)}" if near else "list the names to see what there is"
    return SelectionError(f"nothing matches {pattern!r}; {hint}")
