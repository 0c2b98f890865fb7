"""From a live training state to skeletons and tensor sources."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from deltackpt.skeleton.holes import Entry, Settled
from deltackpt.skeleton.names import is_part_name, shown
from deltackpt.skeleton.plain_writers import CONTAINERS, PLAIN_WRITERS, registered_writer
from deltackpt.skeleton.refusal import StateLimitError
from deltackpt.skeleton.registry import registered_classes
from deltackpt.skeleton.sharing import Sharing
from deltackpt.skeleton.subclasses import subclass_writer
from deltackpt.skeleton.tags import MAX_SKELETON, TWIN_SHIFT, VERSION, Tag
from deltackpt.skeleton.view import View
from deltackpt.skeleton.walk import Census, Walk, Writer
from deltackpt.tensor.source import TensorSource

ROOT = ""
"""Name of the part that holds what stands at the top level itself: its order, its scalars, its bare tensors."""

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class CapturedTensor:
    """One row of a part's tensor table. ``name`` is complete from the root of the state."""

    name: str
    source: TensorSource


@dataclass(frozen=True, slots=True)
class CapturedPart:
    """A part that can be loaded by itself; its skeleton refers to ``tensors`` by position."""

    name: str
    skeleton: bytes
    tensors: tuple[CapturedTensor, ...]


@dataclass(frozen=True, slots=True)
class Captured:
    """A whole state. The root part comes first and says in which order the others stand."""

    parts: tuple[CapturedPart, ...]


@dataclass(frozen=True, slots=True)
class _PartMark:
    """Stands in the top level for a container that is a part of its own."""

    name: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands in a part's skeleton for its tensors: atoms before all others, and a node for each place."""

    head: tuple[object, ...]
    nodes: tuple[tuple[object, ...], ...]

    def filled(self, walk: Walk) -> bytes:
        """The skeleton of a part, of which ``walk`` is everything else; StateLimitError when that is too large."""
        atoms = list(self.head)
        start = 0
        for position, node in zip(walk.positions, self.nodes, strict=True):
            atoms += walk.atoms[start:position]
            atoms += node
            start = position
        atoms += walk.atoms[start:]
        skeleton = _encode((atoms, walk.blobs))
        if len(skeleton) > MAX_SKELETON:
            raise StateLimitError(
                f"{shown(walk.part)}: what is no tensor of it takes {len(skeleton)} bytes, the limit is {MAX_SKELETON};"
                " keep long lists of numbers as arrays or tensors"
            )
        return skeleton


@dataclass(frozen=True, slots=True)
class Settlement:
    """The tensors of all parts: the table of each, and how its skeleton refers to them."""

    tables: Mapping[str, list[Entry]]
    frames: Mapping[str, Frame]

    @classmethod
    def of(cls, walks: Sequence[Walk], census: Census) -> Settlement:
        settled = Sharing(census.names).settle(census.holes)
        tables = _tables(settled)
        ends = iter(settled)
        frames = {walk.part: _frame(walk.part, [next(ends) for _ in walk.positions], tables) for walk in walks}
        return cls(tables, frames)

    def part(self, walk: Walk) -> CapturedPart:
        table = self.tables.get(walk.part, [])
        tensors = tuple(CapturedTensor(entry.name, entry.source) for entry in table)
        return CapturedPart(walk.part, self.frames[walk.part].filled(walk), tensors)


def capture(state: object) -> Captured:
    """Describe ``state`` without copying any tensor; sources read them later, so values must not change till then.

    Equal states give equal skeletons, and a skeleton does not depend on the values of tensors. Raises UnstorableError,
    DuplicateNameError or StateLimitError, each naming the place.
    """
    census = Census()
    walks = walk_all(state, known_kinds(), census)
    settlement = Settlement.of(walks, census)
    return Captured(tuple(map(settlement.part, walks)))


def walk_all(state: object, kinds: Mapping[type, Writer], census: Census) -> list[Walk]:
    """A walk over what stands at the top level, and one over each part."""
    top, parts = split(state)
    inner = (_walked(name, value, kinds, census, outer=state) for name, value in parts.items())
    return [_walked(ROOT, top, kinds, census), *inner]


def known_kinds() -> dict[type, Writer]:
    """How every exact type that can be stored in this process is written."""
    kinds: dict[type, Writer] = {**PLAIN_WRITERS, _PartMark: _part_mark}
    for entry in registered_classes():
        writer = subclass_writer if entry.kind is Tag.TENSOR_SUBCLASS else registered_writer
        kinds[entry.cls] = writer(entry)
    if sys.modules.get("numpy") is not None:
        from deltackpt.skeleton.numpy_arrays import NUMPY_WRITERS

        kinds.update(NUMPY_WRITERS)
    if sys.modules.get("torch") is not None:
        from deltackpt.skeleton.torch_tensors import TORCH_WRITERS

        kinds.update(TORCH_WRITERS)
    return kinds


def split(state: object) -> tuple[object, dict[str, object]]:
    """The top level with a mark in the place of each part, and the parts by name."""
    if not isinstance(state, dict) or type(state) not in CONTAINERS or not all(type(key) is str for key in state):
        return state, {}
    registered = {entry.cls for entry in registered_classes() if entry.fields}
    parts = {
        key: value
        for key, value in state.items()
        if is_part_name(key) and (type(value) in CONTAINERS or type(value) in registered)
    }
    top = copy.copy(state)
    for key in parts:
        top[key] = _PartMark(key)
    return top, parts


def _part_mark(walk: Walk, mark: _PartMark, path: str) -> None:
    walk.atoms += (int(Tag.PART), mark.name)


def _walked(
    name: str, value: object, kinds: Mapping[type, Writer], census: Census, outer: object | None = None
) -> Walk:
    walk = Walk(name, kinds, census)
    if outer is not None:
        walk.enter(outer, ROOT)
        walk.child(value, ROOT, name)
    else:
        walk.write(value, ROOT)
    return walk


def _tables(settled: list[Settled]) -> dict[str, list[Entry]]:
    """The tensor table of each part, in the order in which its entries were first met; numbers the entries."""
    tables: dict[str, list[Entry]] = {}
    for entry in sorted(dict.fromkeys(result.entry for result in settled), key=lambda entry: entry.order):
        table = tables.setdefault(entry.part, [])
        entry.index = len(table)
        table.append(entry)
    return tables


def _frame(part: str, settled: list[Settled], tables: Mapping[str, list[Entry]]) -> Frame:
    table = tables.get(part, [])
    placed = [entry for entry in table if entry.shared is not None or entry.layout.strides is not None]
    head: list[object] = [VERSION, len(table), len(placed)]
    for entry in placed:
        head += _placement(entry)
    return Frame(tuple(head), tuple(_tensor_node(result, part) for result in settled))


def _placement(entry: Entry) -> list[Any]:
    """Index, strides or None, and when the storage is shared: who is first in it, and the position."""
    atoms: list[Any] = [entry.index, *_strides(entry.layout)]
    if entry.shared is None:
        return [*atoms, None]
    return [*atoms, *_reference(entry.shared, entry.part), entry.layout.bounds()[0]]


def _strides(view: View) -> tuple[object, ...]:
    return (None,) if view.strides is None else (len(view.strides), *view.strides)


def _reference(entry: Entry, part: str) -> tuple[object, ...]:
    return (entry.index,) if entry.part == part else (entry.part, entry.index)


def _tensor_node(result: Settled, part: str) -> tuple[object, ...]:
    hole, window = result.hole, result.window
    tag = hole.tag if window is None else hole.tag + 1
    node = (tag, hole.flags | result.twin << TWIN_SHIFT, *hole.extra, *_reference(result.entry, part))
    if window is None:
        return node
    return (*node, window.dtype.name, len(window.shape), *window.shape, *_strides(window), window.offset)
