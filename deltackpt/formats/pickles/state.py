"""The nested state of a file as an inert tree, for a program that makes it again type for type.

What ``torch.load`` accepts with ``weights_only=True`` is a tree without objections; so are states with NumPy
arrays of plain numbers, defaultdicts, ranges and slices, which it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deltackpt.formats.pickles.limits import MAX_STATE_DEPTH, MAX_STATE_NODES
from deltackpt.formats.pickles.nodes import (
    Dict,
    Node,
    NumpyArray,
    NumpyDtype,
    NumpyScalar,
    Opaque,
    Set,
    Storage,
    StorageView,
    Symbol,
    Tensor,
)
from deltackpt.formats.pickles.paths import name_of
from deltackpt.formats.pickles.walk import LEAVES, children, walk

_SHOWN = 64
_KEYS = frozenset({type(None), bool, int, float, complex, str, bytes})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a storage's bytes stand in the file."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Objection:
    """A value that cannot be made again. ``path`` is its name, or None when it has none; ``what`` says what it is."""

    path: str | None
    what: str


@dataclass(frozen=True, slots=True)
class State:
    """``root`` is the tree; ``places`` tells by key where the bytes of each storage are, if the file has them.

    A tensor's element ``[0, ..., 0]`` stands at ``places[tensor.storage.key].offset + tensor.offset * tensor.itemsize``
    of the file; the spans over that place hold its bytes.
    """

    root: Node
    places: Mapping[str, Place]

    def objections(self) -> tuple[Objection, ...]:
        """Everything that stands in the way of making the state again, at most 64 of them; empty when nothing does.

        Walks the whole tree, each node once.
        """
        found: list[Objection] = []
        for objection in self._each():
            found.append(objection)
            if len(found) == _SHOWN:
                break
        return tuple(found)

    def _each(self) -> Iterator[Objection]:
        yield from _unfit_size(self.root)
        for node, step in walk(self.root):
            what = self._unfit(node)
            if what is not None:
                yield Objection(name_of(step), what)

    def _unfit(self, node: Node) -> str | None:
        match node:
            case Opaque() | Symbol():
                return node.name
            case Dict():
                return _unfit_keys([key for key, _ in node.pairs], "a dictionary")
            case Set():
                return _unfit_keys(node.items, "a set")
            case NumpyArray() | NumpyScalar():
                return _unfit_array(node)
            case Storage(key=key) | Tensor(storage=Storage(key=key)) | StorageView(storage=Storage(key=key)):
                return None if key in self.places else "a storage that is not in the file"
            case _:
                return None


def _unfit_keys(keys: list[Node], owner: str) -> str | None:
    """Keys and set elements must be plain values, each there once."""
    if not all(_is_plain(part) for key in keys for part in (key if type(key) is tuple else (key,))):
        return f"{owner} with an object for a key"
    return None if len(set(keys)) == len(keys) else f"{owner} with a key twice"


def _is_plain(key: Node) -> bool:
    # Larger integers can be chosen so that all of them have one hash, and a set of them takes the square of its size.
    return type(key) in _KEYS and (type(key) is not int or key.bit_length() <= 64)


def _unfit_array(node: NumpyArray | NumpyScalar) -> str | None:
    if type(node.dtype) is not NumpyDtype or type(node.raw) not in (bytes, bytearray):
        return "a NumPy array of objects"
    code = node.dtype.code
    timed = code[:1] in ("m", "M")
    if (node.dtype.fields is not None and not timed) or ("." in code and not code.startswith("ml_dtypes.")):
        return f"a NumPy array of type {code}"
    return None


def _unfit_size(root: Node) -> Iterator[Objection]:
    """A tree must end, and not grow beyond reason when what it shares is written out.

    Depth and size of every node follow from those of its children, so each node is visited once, however often
    it is shared.
    """
    too_deep = Objection(None, f"a value nested deeper than {MAX_STATE_DEPTH} levels")
    measured: dict[int, tuple[int, int]] = {}
    open_nodes = [(root, iter(children(root)))]
    entered = {id(root)}
    while open_nodes:
        node, following = open_nodes[-1]
        for _, child in following:
            if type(child) in LEAVES or id(child) in measured:
                continue
            if id(child) in entered:
                yield Objection(None, "a value that contains itself")
                return
            if len(open_nodes) > MAX_STATE_DEPTH:
                yield too_deep
                return
            entered.add(id(child))
            open_nodes.append((child, iter(children(child))))
            break
        else:
            open_nodes.pop()
            entered.discard(id(node))
            measured[id(node)] = _measure(node, measured)
    depth, size = measured[id(root)]
    if depth > MAX_STATE_DEPTH:
        yield too_deep
    if size > MAX_STATE_NODES:
        yield Objection(None, f"more than {MAX_STATE_NODES} values")


def _measure(node: Node, measured: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Depth and size of a node whose children are measured; the size stops growing when it is too large."""
    depth, size = 0, 1
    for _, child in children(node):
        below, more = measured.get(id(child), (0, 1))
        depth, size = max(depth, below), size + more
    return depth + 1, min(size, MAX_STATE_NODES + 1)
