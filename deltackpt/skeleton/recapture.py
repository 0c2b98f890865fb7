"""Capturing a training's state again and again: what tensors share, and how they are described, is worked out once.

1. The state is walked each time, so keys, scalars and containers are those of now.
2. Where a tensor is met, it is compared with the one that was met there before: name, class, type, shape, strides.
3. At the end the storages, and the objects that have one in common, must be the same or different ones as before.
4. Then tables and their order are as they were, and tensors are taken as they are now. Else all is captured anew.

Nothing of a state is kept alive in between.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from deltackpt.skeleton.capture import Captured, Frame, Settlement, known_kinds, walk_all
from deltackpt.skeleton.holes import Hole, Opener
from deltackpt.skeleton.strided_source import StridedSource
from deltackpt.skeleton.view import View
from deltackpt.skeleton.walk import Census, Walk, Writer

Numbering = list[int]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """What a place held. ``outline`` is that of a plain tensor, else None."""

    name: str
    made: Hashable
    outline: Hashable


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a table: which leaf it is, and how it is read. ``whole``: the leaf's elements are those of the row."""

    leaf: int
    layout: View
    opener: Opener
    whole: bool

    def of(self, live: list[Any]) -> Any:
        subject = live[self.leaf]
        return subject if self.whole else self.opener(subject, self.layout)


@dataclass(frozen=True, slots=True)
class Again:
    """A state that is as another was but for its values: skeletons of the parts, and what each row of the tables is.

    That is the live tensor itself where it is one of PyTorch and has the row's shape, else a source.
    """

    skeletons: tuple[bytes, ...]
    rows: list[Any]


@dataclass(frozen=True, slots=True)
class Memory:
    """The structure of a state, without anything of it."""

    _leaves: list[_Leaf]
    _storages: Numbering
    _objects: Numbering | None
    _frames: list[tuple[str, Frame]]
    _rows: list[_Row]

    def again(self, state: object) -> Again | None:
        """``state`` as far as it is new; None when it is not like the one that is remembered."""
        roll = _Roll(self._leaves)
        try:
            walks = walk_all(state, {**known_kinds(), **_writers(roll)}, roll)
        except _UnlikeError:
            return None
        if not self._alike(roll, walks):
            return None
        skeletons = tuple(frame.filled(walk) for (_, frame), walk in zip(self._frames, walks, strict=True))
        return Again(skeletons, [row.of(roll.live) for row in self._rows])

    def _alike(self, roll: _Roll, walks: list[Walk]) -> bool:
        places = [(walk.part, len(walk.positions)) for walk in walks]
        return (
            places == [(part, len(frame.nodes)) for part, frame in self._frames]
            and _numbered(roll.storages) == self._storages
            and (self._objects is None or _numbered(map(id, roll.live)) == self._objects)
        )


def remember(state: object) -> tuple[Captured, Memory | None]:
    """``state`` captured, and its structure; None for that of a state in which views overlap in strange ways."""
    census = Census()
    walks = walk_all(state, known_kinds(), census)
    settlement = Settlement.of(walks, census)
    captured = Captured(tuple(map(settlement.part, walks)))
    entries = [entry for walk in walks for entry in settlement.tables.get(walk.part, [])]
    if not all(isinstance(entry.source, StridedSource) for entry in entries):
        return captured, None
    leaves = [_leaf(hole) for hole in census.holes]
    storages = _numbered(hole.storage for hole in census.holes)
    several = max(storages, default=-1) + 1 < len(storages)
    objects = _numbered(id(hole.subject) for hole in census.holes) if several else None
    rows = []
    for entry in entries:
        hole, leaf = census.holes[entry.order], leaves[entry.order]
        whole = leaf.outline is not None and entry.layout.shape == hole.view.shape
        rows.append(_Row(entry.order, entry.layout, hole.opener, whole))
    frames = [(walk.part, settlement.frames[walk.part]) for walk in walks]
    return captured, Memory(leaves, storages, objects, frames, rows)


class _UnlikeError(Exception):
    """The state is not like the one that is remembered."""


class _Roll(Census):
    """Calls the leaves that are known, one after the other."""

    def __init__(self, leaves: list[_Leaf]) -> None:
        super().__init__()
        self._leaves = leaves
        self.live: list[Any] = []
        self.storages: list[Hashable] = []

    def add(self, hole: Hole, keys: tuple[object, ...]) -> None:
        if self.next().made != _made(hole):
            raise _UnlikeError
        self.present(hole.subject, hole.storage)

    def next(self) -> _Leaf:
        if len(self.live) == len(self._leaves):
            raise _UnlikeError
        return self._leaves[len(self.live)]

    def present(self, subject: Any, storage: Hashable) -> None:
        self.live.append(subject)
        self.storages.append(storage)


def _writers(roll: _Roll) -> dict[type, Writer]:
    """Writers that do no more than recognise tensors."""
    if sys.modules.get("torch") is None:
        return {}
    from deltackpt.skeleton.torch_tensors import TORCH_WRITERS, outline, storage_of

    def recognising(otherwise: Writer) -> Writer:
        def write(walk: Walk, tensor: Any, path: str) -> None:
            seen = outline(tensor)
            if seen is None:
                otherwise(walk, tensor, path)
                return
            leaf = roll.next()
            if leaf.outline != seen or leaf.name != path:
                raise _UnlikeError
            roll.present(tensor, storage_of(tensor))
            walk.positions.append(len(walk.atoms))

        return write

    import torch

    return {kind: recognising(TORCH_WRITERS[kind]) for kind in (torch.Tensor, torch.nn.Parameter)}


def _leaf(hole: Hole) -> _Leaf:
    plain: Callable[[Hole], bool] = _never
    if sys.modules.get("torch") is not None:
        from deltackpt.skeleton.torch_tensors import is_plain as plain
        from deltackpt.skeleton.torch_tensors import outline
    return _Leaf(hole.name, _made(hole), outline(hole.subject) if plain(hole) else None)


def _never(hole: Hole) -> bool:
    return False


def _made(hole: Hole) -> Hashable:
    return hole.name, hole.tag, hole.flags, hole.extra, hole.view


def _numbered(values: Iterable[Hashable]) -> Numbering:
    """Each value as the number of the different ones before it was met first."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(value, len(numbers)) for value in values]
