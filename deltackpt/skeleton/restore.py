"""From skeletons and tensor tables back to the live state, in two steps: make the memory, then build.

Between the steps the caller fills the destinations, from any thread. Memory is allocated once: a destination is the
tensor's own final memory whenever that is in C order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from deltackpt.errors import DeltackptError, FormatError, NotFoundError
from deltackpt.skeleton.build import Builder, allocator_of
from deltackpt.skeleton.capture import ROOT
from deltackpt.skeleton.leaves import TensorLeaf, leaves_below
from deltackpt.skeleton.names import shown
from deltackpt.skeleton.nodes import Mapping as MappingNode
from deltackpt.skeleton.nodes import PartHere, Skeleton, TensorNode, Tree
from deltackpt.skeleton.placement import Memory
from deltackpt.skeleton.read import read_skeleton
from deltackpt.skeleton.selection import NOTHING, Chosen, chooser, chosen_of, may_hold, nothing_matches
from deltackpt.skeleton.table import TensorInfo


class Skeletons:
    """The skeletons of a state, each read when it is first asked for."""

    def __init__(self, raw: Mapping[str, bytes]) -> None:
        self._raw = raw
        self._read: dict[str, Skeleton] = {}

    def __call__(self, part: str) -> Skeleton:
        if part not in self._read:
            self._read[part] = read_skeleton(self._bytes(part), part)
        return self._read[part]

    def _bytes(self, part: str) -> bytes:
        try:
            return self._raw[part]
        except DeltackptError:
            raise
        except KeyError:
            raise NotFoundError(f"no part {shown(part)!s} here; parts are {', '.join(map(repr, self._raw))}") from None


class Restoration:
    """One load: all of a state, one ``part`` of it, or the leaves that the glob ``select`` chooses.

    ``skeletons`` and ``tensors`` (the table of each part, in order) are asked for a part only when it is needed:
    a part may be tied to a tensor of another. Raises NotFoundError for a part or a pattern that is not there,
    FormatError for skeletons that do not fit their tables, MissingTorchError.
    """

    def __init__(
        self,
        skeletons: Mapping[str, bytes],
        tensors: Mapping[str, Sequence[TensorInfo]],
        *,
        select: str | None = None,
        part: str | None = None,
    ) -> None:
        self._skeletons = Skeletons(skeletons)
        self._trees = self._whole(part, select)
        if select is not None:
            self._trees = self._chosen(self._trees, select)
        self._start = ROOT if part is None else part
        self._memory = Memory(self._skeletons, tensors, list(self._tensor_nodes()))
        self._destinations = self._memory.allocate(allocator_of)

    @property
    def destinations(self) -> Mapping[tuple[str, int], memoryview]:
        """Writable buffers for the plain bytes of the table entries that are needed, by part and index."""
        return self._destinations

    def build(self, device: Any = None) -> Any:
        """The object, once every destination is filled; its torch tensors on ``device`` (the CPU by default).

        Call it once: the object takes over the memory.
        """
        self._memory.settle()
        return Builder(self._memory, self._trees, device).build(self._trees[self._start])

    def _whole(self, part: str | None, select: str | None) -> dict[str, Tree]:
        """The trees that are wanted, by part; with a pattern, only those in which it can match."""
        if part is not None:
            return {part: _without_parts(self._skeletons(part).tree)}
        root = self._skeletons(ROOT).tree
        parts = parts_of(root)
        wanted = [name for name in parts if select is None or may_hold(name, select)]
        return {ROOT: root, **{name: self._skeletons(name).tree for name in wanted}}

    def _chosen(self, trees: dict[str, Tree], pattern: str) -> dict[str, Tree]:
        chosen = chooser(pattern)
        kept = {name: chosen_of(tree, name, chosen) for name, tree in trees.items() if name != ROOT}
        kept = {name: tree for name, tree in kept.items() if tree is not NOTHING}
        if ROOT in trees:
            kept[ROOT] = _chosen_root(trees[ROOT], kept, chosen)
        if all(tree is NOTHING for tree in kept.values()):
            raise nothing_matches(pattern, self._names(trees))
        return kept

    def _names(self, trees: dict[str, Tree]) -> Iterator[str]:
        """Every leaf name there is, for the near matches of an error."""
        every = set(trees) | (set(parts_of(trees[ROOT])) if ROOT in trees else set())
        for name in sorted(every):
            yield from (leaf.name for leaf in leaves_below(self._skeletons(name).tree, name))

    def _tensor_nodes(self) -> Iterable[TensorNode]:
        for name, tree in self._trees.items():
            yield from (leaf.node for leaf in leaves_below(tree, name) if isinstance(leaf, TensorLeaf))


def parts_of(root: Tree) -> list[str]:
    """The parts that a root names, in order; each once."""
    if not isinstance(root, MappingNode):
        return []
    names = [item.name for item in root.items if isinstance(item, PartHere)]
    if len(set(names)) != len(names) or ROOT in names:
        raise FormatError("skeleton: the root names a part twice; run deltackpt verify")
    return names


def _without_parts(tree: Tree) -> Tree:
    """The root's own things, when the root part is asked for by itself."""
    if not parts_of(tree):
        return tree
    own = [(key, item) for key, item in zip(tree.keys, tree.items, strict=True) if not isinstance(item, PartHere)]
    return MappingNode(tree.tag, [key for key, _ in own], [item for _, item in own], tree.factory, tree.metadata)


def _chosen_root(root: Tree, kept: Mapping[str, Tree], chosen: Chosen) -> Tree:
    """The root's chosen leaves, and the places of the parts of which something is left."""
    present = {name for name in kept if name != ROOT}
    return chosen_of(root, ROOT, chosen, present)
