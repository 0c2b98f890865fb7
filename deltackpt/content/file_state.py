"""The state of one file: nested where its pickle can be made again, else its tensors by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deltackpt.content.flat import flat_dict, flat_tree
from deltackpt.content.named_state import is_named_dict
from deltackpt.content.pickled import AddRow, PickledState
from deltackpt.content.shelved import Shelved
from deltackpt.content.table import Row
from deltackpt.content.unfit import UnfitError
from deltackpt.formats.pickles.nodes import Dict, Node
from deltackpt.formats.pickles.state import State
from deltackpt.skeleton.leaves import leaves_below
from deltackpt.skeleton.nodes import Mapping, Placement, Tree

# What a tree stands in when it is part of a folder: the dict of a part, and that of the whole.
_DEPTH_AROUND = 2


@dataclass(frozen=True, slots=True)
class FileState:
    """``tree`` is None for a file that has neither tensors nor a state. ``notes`` say what the tree lacks."""

    tree: Tree
    placements: tuple[tuple[Row, Placement], ...] = ()
    notes: tuple[str, ...] = ()


NO_STATE = FileState(None)


def file_state(file: Shelved, add: AddRow) -> FileState:
    """The state of ``file``; ``add`` takes in rows for arrays in its pickle."""
    if (found := _exported(file)) is not None:
        return found
    state = file.described.reading.state
    if state is None:
        return FileState(flat_tree(file.described.reading.format, file.by_name)) if file.by_name else NO_STATE
    found = _Nested(file, state, add).state()
    names = [leaf.name for leaf in leaves_below(found.tree, "")]
    if len(set(names)) < len(names):
        return _by_name(file, ("two of its tensors would have one name",))
    return found


def _exported(file: Shelved) -> FileState | None:
    exported = file.described.exported
    found = None if exported is None else exported.state(dict(file.by_name))
    return None if found is None else FileState(found[0], tuple(found[1]))


def _by_name(file: Shelved, notes: tuple[str, ...]) -> FileState:
    tree = flat_tree(file.described.reading.format, file.by_name)
    return FileState(tree, (), notes)


class _Nested:
    """One nested state. Of a dict by names, each item by itself is nested or not."""

    def __init__(self, file: Shelved, state: State, add: AddRow) -> None:
        self._file = file
        self._state = state
        self._made = PickledState(state, file.rows, add)
        self._notes: list[str] = []

    def state(self) -> FileState:
        root = self._state.root
        try:
            tree = self._dict(root) if is_named_dict(root) else self._tree(root, "")
        except UnfitError as unfit:
            return _by_name(self._file, (str(unfit),))
        return FileState(tree, tuple(self._made.placements()), tuple(self._notes))

    def _tree(self, node: Node, path: str) -> Tree:
        for objection in State(node, self._state.places).objections():
            raise UnfitError(objection.what if objection.path is None else f"{objection.path}: {objection.what}")
        return self._made.tree(node, path, _DEPTH_AROUND)

    def _dict(self, root: Dict) -> Tree:
        """The root with each item made by itself; one that cannot be is the tensors in it by name, or is left out."""
        kept = []
        for key, value in root.pairs:
            try:
                kept.append((key, self._tree(value, key)))
            except UnfitError as unfit:
                self._notes.append(f"{key}: {unfit}")
                if below := list(self._below(key)):
                    kept.append((key, flat_dict(self._file.described.reading.format, below)))
        shell = Dict(root.kind, [(key, None) for key, _ in kept], root.factory, root.attributes)
        made = self._tree(shell, "")
        return Mapping(made.tag, made.keys, [tree for _, tree in kept], made.factory, made.metadata)

    def _below(self, key: str) -> Iterator[tuple[str, Row]]:
        """The tensors at or below ``key``, by the rest of their names."""
        for name, row in self._file.by_name:
            if name == key or name.startswith(f"{key}/"):
                yield name[len(key) + 1 :], row
