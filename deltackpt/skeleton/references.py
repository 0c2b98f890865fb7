"""A tree whose tensors stand in other rows of tensor tables."""

from __future__ import annotations

from collections.abc import Mapping as Places
from dataclasses import replace

from deltackpt.skeleton.nodes import Composite, Fields, Mapping, Reference, Sequence, TensorNode, Tree


def moved(tree: Tree, places: Places[Reference, Reference]) -> Tree:
    """``tree`` with each reference replaced; KeyError for one that has no new place."""
    if isinstance(tree, TensorNode):
        return replace(tree, reference=places[tree.reference])
    if isinstance(tree, Composite):
        return replace(tree, parts=tuple(moved(part, places) for part in tree.parts))
    if isinstance(tree, Sequence | Mapping | Fields):
        return replace(tree, items=[moved(item, places) for item in tree.items])
    return tree
