"""A walk over a tree: every node once, in the order of the state, with the way to it. It never recurses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from deltackpt.formats.pickles.limits import MAX_WALK_DEPTH
from deltackpt.formats.pickles.nodes import (
    Attributed,
    Dict,
    Node,
    NumpyArray,
    Opaque,
    Parameter,
    Quantized,
    Set,
    Sparse,
)
from deltackpt.formats.pickles.paths import Step

Child: TypeAlias = tuple[Node, Node]

HERE = object()
"""The key of a child that has its parent's own name."""

SPARSE_PARTS = {
    "sparse_coo": ("indices", "values"),
    "sparse_csr": ("crow_indices", "col_indices", "values"),
    "sparse_csc": ("ccol_indices", "row_indices", "values"),
    "sparse_bsr": ("crow_indices", "col_indices", "values"),
    "sparse_bsc": ("ccol_indices", "row_indices", "values"),
}

LEAVES = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, range, slice})
"""Values that hold no nodes and cannot be shared in a way that matters."""


def children(node: Node) -> Iterable[Child]:
    """What ``node`` holds, by key, in order. A dictionary's keys are not among them."""
    match node:
        case list() | tuple():
            return enumerate(node)
        case Dict():
            own = () if node.attributes is None else ((HERE, node.attributes),)
            return (*node.pairs, *own)
        case Set():
            return enumerate(node.items)
        case Parameter() | Attributed():
            return ((HERE, node.data), (HERE, node.attributes))
        case Sparse():
            return zip(SPARSE_PARTS[node.layout], node.parts, strict=False)
        case Quantized():
            return ((HERE, node.data), *enumerate(node.parameters))
        case NumpyArray(raw=list()):
            return enumerate(node.raw)
        case Opaque():
            return _within(node)
        case _:
            return ()


def _within(node: Opaque) -> Iterator[Child]:
    """An only argument and the state have the object's own name: an attribute is named as if the object were a dict."""
    alone = len(node.args) == 1
    yield from ((HERE if alone else index, argument) for index, argument in enumerate(node.args))
    yield HERE, node.state
    yield from enumerate(node.items)
    yield from node.pairs


def walk(root: Node, top: Step | None = None) -> Iterator[tuple[Node, Step | None]]:
    """Every node that is not a plain value, the parent before its children; one that is shared is met once.

    ``top`` is the way to the root itself. What lies deeper than ``MAX_WALK_DEPTH`` is not visited.
    """
    seen = {id(root)}
    yield root, top
    open_nodes: list[tuple[Iterator[Child], Step | None]] = [(iter(children(root)), top)]
    while open_nodes:
        following, step = open_nodes[-1]
        for key, child in following:
            if type(child) in LEAVES or id(child) in seen:
                continue
            seen.add(id(child))
            here = step if key is HERE else Step(step, key)
            yield child, here
            if len(open_nodes) < MAX_WALK_DEPTH:
                open_nodes.append((iter(children(child)), here))
                break
        else:
            open_nodes.pop()
