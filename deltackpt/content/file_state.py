"""The state of one file: nested where its pickle can be made again, else its tensors by name."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import itemgetter

from deltackpt.content.flat import flat_dict, flat_tree
from deltackpt.content.named_state import is_named_dict
from deltackpt.content.pickled import AddRow, PickledState
from deltackpt.content.shelved import Shelved
from deltackpt.content.table import Row
from deltackpt.content.unfit import UnfitError
from deltackpt.formats.pickles.nodes import Dict, Node
from deltackpt.formats.pickles.state import State
from deltackpt.formats.reading import Unread
from deltackpt.skeleton.leaves import leaves_below
from deltackpt.skeleton.names import joined, segment
from deltackpt.skeleton.nodes import Placement, Sequence, Tree
from deltackpt.skeleton.selection import NOTHING
from deltackpt.skeleton.tags import Tag

# What a tree stands in when it is part of a folder: the dict of a part, and that of the whole.
_DEPTH_AROUND = 2
_DEEPEST_DIVIDED = 16
"""Each level of a state that is made piece by piece is looked through again; what lies deeper is one piece."""

_MOST_PIECES = 1 << 16
"""Of one state: what is shared is looked through once for each place where it stands."""

_AFTER_SLASH = chr(ord("/") + 1)


class _IndivisibleError(UnfitError):
    """What cannot be made again is too large, too deep or endless as a whole; nobody looks into its pieces."""


@dataclass(frozen=True, slots=True)
class FileState:
    """``tree`` is None for a file that has neither tensors nor a state. ``unread`` is what the tree lacks."""

    tree: Tree
    placements: tuple[tuple[Row, Placement], ...] = ()
    unread: tuple[Unread, ...] = ()


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
        return _by_name(file, "a state in which two tensors would have one name")
    return found


def _exported(file: Shelved) -> FileState | None:
    exported = file.described.exported
    found = None if exported is None else exported.state(dict(file.by_name))
    return None if found is None else FileState(found[0], tuple(found[1]))


def _by_name(file: Shelved, what: str) -> FileState:
    """The tensors of a file whose whole state cannot be made again; ``what`` says why."""
    return FileState(flat_dict(file.described.reading.format, file.by_name), (), (Unread("", what),))


class _Nested:
    """One nested state. Of dicts, and of lists whose items are, each item by itself is nested or not."""

    def __init__(self, file: Shelved, state: State, add: AddRow) -> None:
        self._file = file
        self._state = state
        self._made = PickledState(state, file.rows, add)
        self._unread: list[Unread] = []
        self._pieces = _MOST_PIECES
        self._named = sorted((name, at, row) for at, (name, row) in enumerate(file.by_name))

    def state(self) -> FileState:
        root = self._state.root
        try:
            tree = self._dict(root, "", 0) if is_named_dict(root) else self._tree(root, "")
        except UnfitError as unfit:
            return _by_name(self._file, str(unfit))
        return FileState(tree, tuple(self._made.placements()), tuple(self._unread))

    def _tree(self, node: Node, path: str) -> Tree:
        for objection in State(node, self._state.places).objections():
            kind = UnfitError if objection.path is not None else _IndivisibleError
            raise kind(f"{objection.path}: {objection.what}" if objection.path else objection.what)
        return self._made.tree(node, path, _DEPTH_AROUND)

    def _item(self, node: Node, path: str, depth: int) -> Tree:
        """What stands at ``path``; of what cannot be made again, the tensors in it by name, or ``NOTHING``."""
        try:
            return self._tree(node, path)
        except UnfitError as unfit:
            what, divisible = str(unfit), not isinstance(unfit, _IndivisibleError)
        if divisible and depth < _DEEPEST_DIVIDED and self._pieces > 0:
            before = len(self._unread)
            try:
                return self._divided(node, path, depth + 1)
            except UnfitError:
                del self._unread[before:]
        self._unread.append(Unread(path, what))
        below = list(self._below(path))
        # Never the bare tensor: the bytes of a conjugated one, say, are not its values.
        return flat_dict(self._file.described.reading.format, below) if below else NOTHING

    def _divided(self, node: Node, path: str, depth: int) -> Tree:
        if type(node) is Dict:
            return self._dict(node, path, depth)
        if type(node) not in (list, tuple):
            raise UnfitError("no container")
        self._pieces -= len(node)
        items = [self._item(item, joined(path, str(number)), depth) for number, item in enumerate(node)]
        if any(item is NOTHING for item in items):
            raise UnfitError("an item that would leave a gap")
        return Sequence(Tag.LIST if type(node) is list else Tag.TUPLE, items)

    def _dict(self, node: Dict, path: str, depth: int) -> Tree:
        """A dict with each item made by itself; ``NOTHING`` below the root when none of them can be."""
        shell = Dict(node.kind, [(key, None) for key, _ in node.pairs], node.factory, node.attributes)
        made = self._tree(shell, path)
        self._pieces -= len(node.pairs)
        found = [(key, self._item(item, joined(path, segment(key)), depth)) for key, item in node.pairs]
        kept = [(key, tree) for key, tree in found if tree is not NOTHING]
        if path and not kept:
            return NOTHING
        return replace(made, keys=[key for key, _ in kept], items=[tree for _, tree in kept])

    def _below(self, path: str) -> Iterator[tuple[str, Row]]:
        """The tensors at or below ``path``, by the rest of their names, as they lie in the file."""
        start, stop = (bisect_left(self._named, (f"{path}{end}",)) for end in ("/", _AFTER_SLASH))
        own = bisect_left(self._named, (path,))
        found = [*(one for one in self._named[own : own + 1] if one[0] == path), *self._named[start:stop]]
        yield from ((name[len(path) + 1 :], row) for name, _, row in sorted(found, key=itemgetter(1)))
