"""A walk over a live state that writes its skeleton: atoms in prefix order, byte strings beside them.

A skeleton is a flat sequence. A node is either an atom that speaks for itself (None, bool, float, str) or
a tag followed by what the tag asks for. Nothing nests in the encoding, so reading it cannot recurse.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import msgspec

from deltackpt.skeleton.holes import Hole
from deltackpt.skeleton.keys import key_node
from deltackpt.skeleton.large_values import KINDS, large_hole
from deltackpt.skeleton.names import joined, segment, shown, trail
from deltackpt.skeleton.nodes import Tree
from deltackpt.skeleton.refusal import DuplicateNameError, StateLimitError, UnstorableError, refuse
from deltackpt.skeleton.tags import LARGE_VALUE, MAX_DEPTH, Tag

Writer = Callable[["Walk", Any, str], None]

Found = TypeVar("Found")
Made = TypeVar("Made")

_encode = msgspec.msgpack.Encoder().encode


class Census:
    """What the walks of all parts of one state have in common: the tensors met, and their names."""

    def __init__(self) -> None:
        self.holes: list[Hole] = []
        self.seen: dict[int, Hole] = {}
        self._trails: dict[str, tuple[object, ...]] = {}
        self._made: dict[int, tuple[object, Any]] = {}
        self._twins: dict[Hashable, dict[int, int]] = {}

    @property
    def names(self) -> Mapping[str, tuple[object, ...]]:
        return self._trails

    def once(self, value: Found, find: Callable[[Found], Made]) -> Made:
        """What ``find`` makes of a live object, made once however often the object is met."""
        if id(value) not in self._made:
            self._made[id(value)] = (value, find(value))
        return self._made[id(value)][1]  # type: ignore[no-any-return]

    def twin(self, value: object, alike: Hashable) -> int:
        """Number of a live object among those that are ``alike`` in all that is stored."""
        numbers = self._twins.setdefault(alike, {})
        return numbers.setdefault(id(value), len(numbers))

    def add(self, hole: Hole, keys: tuple[object, ...]) -> None:
        """Count a leaf; DuplicateNameError when another tensor has its name."""
        other = self._trails.setdefault(hole.name, keys)
        if len(self._trails) == len(self.holes):
            raise DuplicateNameError(
                f"two tensors would be named {shown(hole.name)}: state{trail(other)} and state{trail(keys)}; "
                "change one of the keys"
            )
        self.holes.append(hole)
        self.seen.setdefault(id(hole.subject), hole)


class Walk:
    """Writes one part. ``kinds`` says how each exact type is written; any other type is refused with its path."""

    def __init__(self, part: str, kinds: Mapping[type, Writer], census: Census, keys: tuple[object, ...] = ()) -> None:
        self.part = part
        self.atoms: list[object] = []
        self.blobs: list[bytes] = []
        self.positions: list[int] = []
        self.census = census
        self._kinds = kinds
        self._open: set[int] = set()
        self._within_key = 0
        self._keys: list[object] = list(keys)

    def write(self, value: object, path: str) -> None:
        """Append the node of ``value``, which stands at ``path``."""
        writer = self._kinds.get(type(value))
        if writer is None:
            raise refuse(path, value)
        writer(self, value, path)

    def child(self, value: object, path: str, key: object) -> None:
        """Append what stands at ``key`` in the container at ``path``, which must have been entered."""
        self._keys[-1] = key
        self.write(value, joined(path, segment(key)))

    def enter(self, container: object, path: str) -> None:
        """Begin a container: refuse one that contains itself, or that lies too deep."""
        if id(container) in self._open:
            raise UnstorableError(path, "contains itself; break the cycle before committing")
        if len(self._open) >= MAX_DEPTH:
            raise StateLimitError(f"{shown(path)}: nested deeper than {MAX_DEPTH} levels; flatten the state")
        self._open.add(id(container))
        self._keys.append(None)

    def leave(self, container: object) -> None:
        self._open.discard(id(container))
        self._keys.pop()

    def key(self, value: object, path: str, others: set[Tree]) -> Tree:
        """Append a dictionary key or set element, and add it to ``others``; returns it as it stands in a tree."""
        if type(value) is str and value.isascii() and value not in others and len(value) <= LARGE_VALUE:
            # By far the most frequent ones, and nothing of them is to be looked at.
            others.add(value)
            self.atoms.append(value)
            return value
        node = key_node(value, path)
        if node in others:
            raise UnstorableError(path, f"two keys or elements that are stored alike, {node!r:.40}; keep one of them")
        others.add(node)
        self._within_key += 1
        self.write(value, path)
        self._within_key -= 1
        return node

    def blob(self, tag: Tag, raw: bytes | bytearray, path: str) -> None:
        """Append a node whose value is a byte string. A large one, unless it is a key, goes to the tensor table."""
        if len(raw) > LARGE_VALUE and tag in KINDS and not self._within_key:
            self.hole(large_hole(path, self.part, tag, raw))
            return
        self.atoms.append(int(tag))
        self.blobs.append(bytes(raw))

    def encoded_alone(self, value: object, path: str, others: set[Tree]) -> tuple[bytes, list[object], list[bytes]]:
        """The node of a set element by itself: its bytes (by which a set is ordered), atoms and byte strings."""
        atoms, blobs = self.atoms, self.blobs
        self.atoms, self.blobs = [], []
        self.key(value, path, others)
        alone = (_encode((self.atoms, self.blobs)), self.atoms, self.blobs)
        self.atoms, self.blobs = atoms, blobs
        return alone

    def hole(self, hole: Hole) -> None:
        """Leave a place for a tensor's node; it is filled when all of the state is known."""
        self.census.add(hole, tuple(self._keys))
        self.positions.append(len(self.atoms))
