"""What a part holds, by name: for listing, comparing and exporting, without torch and without allocating."""

from __future__ import annotations

from collections import abc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from deltackpt.skeleton.names import joined, segment
from deltackpt.skeleton.nodes import (
    Composite,
    Fields,
    LargeValue,
    Mapping,
    PartHere,
    Reference,
    Sequence,
    Skeleton,
    TensorNode,
    Tree,
)
from deltackpt.skeleton.table import TensorInfo
from deltackpt.skeleton.view import View
from deltackpt.tensor.dtype import DType

Tables: TypeAlias = abc.Mapping[str, abc.Sequence[TensorInfo]]


@dataclass(frozen=True, slots=True)
class TensorLeaf:
    """A name under which a tensor stands. Tied tensors are several leaves on one table entry.

    ``view`` None: the leaf is the entry ``reference``, with its element type and shape. Otherwise it is that
    window on the entry's plain bytes, with an element type and shape of its own; ``strided.gather`` cuts it out.
    A large value that is no tensor in the state is one here: it has its bytes in the table, too. ``whole`` is the
    tensor of which this one is a part.
    """

    name: str
    reference: Reference
    view: View | None
    node: TensorNode
    whole: Composite | None = None

    @property
    def is_value(self) -> bool:
        """Whether the state holds bytes or text here, and no tensor."""
        return isinstance(self.node, LargeValue)

    def form(self, tables: Tables) -> tuple[DType, tuple[int, ...]]:
        """The leaf's own element type and shape."""
        if self.view is not None:
            return self.view.dtype, self.view.shape
        info = tables[self.reference.part][self.reference.index]
        return info.dtype, info.shape


@dataclass(frozen=True, slots=True)
class ValueLeaf:
    """A name under which something else stands: a plain value, a node of another library, or an empty container.

    ``keys`` are what leads to it, from the root of the state.
    """

    name: str
    value: Tree
    keys: tuple[object, ...] = ()


Leaf: TypeAlias = TensorLeaf | ValueLeaf


def leaves(skeleton: Skeleton) -> Iterator[Leaf]:
    """Every leaf of a part in traversal order, by complete name; parts that a root refers to are not entered."""
    return leaves_below(skeleton.tree, skeleton.part, (skeleton.part,) if skeleton.part else ())


def leaves_below(tree: Tree, path: str, keys: tuple[object, ...] = ()) -> Iterator[Leaf]:
    """The leaves of a tree that stands at ``path``, by way of ``keys``. An empty container is a leaf of its own."""
    if isinstance(tree, Composite):
        for name, part in zip(tree.part_names, tree.parts, strict=True):
            yield _tensor(joined(path, name), part, tree)
    elif isinstance(tree, TensorNode):
        yield _tensor(path, tree)
    elif isinstance(tree, Sequence | Mapping | Fields) and tree.items:
        for key, item in zip(keys_of(tree), tree.items, strict=True):
            yield from leaves_below(item, joined(path, segment(key)), (*keys, key))
    elif not isinstance(tree, PartHere):
        yield ValueLeaf(path, tree, keys)


def keys_of(tree: Sequence | Mapping | Fields) -> abc.Sequence[object]:
    """What each item of a container is called there."""
    if isinstance(tree, Sequence):
        return range(len(tree.items))
    return tree.keys if isinstance(tree, Mapping) else tree.fields


def _tensor(name: str, node: TensorNode, whole: Composite | None = None) -> TensorLeaf:
    return TensorLeaf(name, node.reference, node.view, node, whole)
