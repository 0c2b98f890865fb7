"""The state of a part, of the states of its files; and the skeletons that follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from deltackpt.content.table import Row, Tables
from deltackpt.formats.names import DistinctNames
from deltackpt.skeleton.nodes import Mapping as MappingNode
from deltackpt.skeleton.nodes import PartHere, Placement, Skeleton, TensorNode, Tree
from deltackpt.skeleton.nodes import Sequence as SequenceNode
from deltackpt.skeleton.tags import Tag
from deltackpt.skeleton.write import write_skeleton

AT_THE_TOP = ""
"""The key of a file whose state stands in that of its part itself."""


@dataclass(slots=True)
class Placements:
    """Where rows that share a storage lie in it, by part and index."""

    by_part: dict[str, dict[int, Placement]] = field(default_factory=dict)

    def add(self, placed: Iterable[tuple[Row, Placement]]) -> None:
        for row, placement in placed:
            self.by_part.setdefault(row.part, {})[row.index] = placement


def skeleton_of(part: str, tree: Tree, tables: Tables, placements: Placements) -> bytes:
    """The bytes of a part's skeleton."""
    return write_skeleton(Skeleton(part, len(tables.of(part)), tree, placements.by_part.get(part, {})))


def split(root: Tree, parts: Iterable[str]) -> tuple[Tree, dict[str, Tree]]:
    """The root of a nested state with marks in the place of ``parts``, and their trees."""
    if not isinstance(root, MappingNode):
        return root, {}
    trees = dict(zip(root.keys, root.items, strict=True))
    found = {name: trees[name] for name in parts if name in trees and _is_container(trees[name])}
    items = [PartHere(key) if key in found else item for key, item in trees.items()]
    return MappingNode(root.tag, root.keys, items, root.factory, root.metadata), found


def _is_container(tree: Tree) -> bool:
    return isinstance(tree, MappingNode | SequenceNode | set | frozenset)


def is_merged(names: Sequence[Iterable[str]]) -> bool:
    """Whether the tensors of several files, given the names in each, can stand in one dict."""
    together = [name for each in names for name in each]
    return len(set(together)) == len(together)


@dataclass(frozen=True, slots=True)
class _Stated:
    path: str
    key: str
    own_key: str
    tree: Tree
    named: Tree


@dataclass(slots=True)
class PartStates:
    """The states of a part's files."""

    _files: list[_Stated] = field(default_factory=list)

    def add(self, path: str, key: str, own_key: str, tree: Tree, named: Tree = None) -> None:
        """``key`` is where the state stands in that of the part, ``own_key`` does for any file.

        ``named`` is the state beside those of other files at the top, for one that is a tensor without a name.
        """
        self._files.append(_Stated(path, key, own_key, tree, tree if named is None else named))

    def arranged(self) -> tuple[Tree, dict[str, str]]:
        """The part's state, and where in it that of each file stands."""
        together = self._files[0].tree if len(self._files) == 1 else _merged([file.named for file in self._files])
        if together is not None and all(file.key == AT_THE_TOP for file in self._files):
            return together, {file.path: AT_THE_TOP for file in self._files}
        return self.by_key(())

    def by_key(self, taken: Iterable[str]) -> tuple[Tree, dict[str, str]]:
        """A dict of the states by their keys, none of which is ``taken``."""
        distinct = DistinctNames(taken)
        keys = {file.path: distinct.add(file.key or file.own_key) for file in self._files}
        return MappingNode(Tag.DICT, list(keys.values()), [file.tree for file in self._files]), keys


def _merged(trees: Sequence[Tree]) -> Tree | None:
    """One dict of the tensors of several files, or None when they are not flat or share names."""
    if not all(isinstance(tree, MappingNode) and all(isinstance(i, TensorNode) for i in tree.items) for tree in trees):
        return None
    keys = [key for tree in trees for key in tree.keys]
    if len(set(keys)) != len(keys):
        return None
    return MappingNode(Tag.DICT, keys, [item for tree in trees for item in tree.items])


def root_of(states: PartStates, parts: Iterable[str]) -> tuple[Tree, dict[str, str]]:
    """The root of a folder's state: files without a role by their keys, and marks in the places of ``parts``."""
    names = list(parts)
    own, keys = states.by_key(names)
    marks = [PartHere(name) for name in names]
    return MappingNode(Tag.DICT, [*own.keys, *names], [*own.items, *marks]), keys
