"""A file that several parts share: its state has one of them under each key, as that of a rank of Megatron has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deltackpt.skeleton.names import joined
from deltackpt.skeleton.nodes import Mapping as MappingNode
from deltackpt.skeleton.nodes import Tree
from deltackpt.skeleton.tags import Tag

_Item = tuple[Any, Tree]


@dataclass(frozen=True, slots=True)
class Shared:
    """``roles`` tells the part of each key; what has no role stays in the file's own part.

    ``key`` is where the file's share stands in that of a part, empty for all of it. A key that makes up its part alone
    is left out there: ``model/layer.0.weight``.
    """

    roles: Mapping[str, str]
    key: str

    def place(self, name: str) -> tuple[str, str] | None:
        """The part and the complete name of what is called ``name`` in the file; None for what has no role."""
        own, _, rest = name.partition("/")
        part = self.roles.get(own)
        if part is None:
            return None
        return part, joined(joined(part, self.key) if self.key else part, rest if self._is_alone(part) else name)

    def apart(self, root: Tree) -> tuple[Tree, dict[str, Tree]]:
        """The state of the file without what has a role, and the trees of the parts."""
        if not isinstance(root, MappingNode):
            return root, {}
        own: list[_Item] = []
        parts: dict[str, list[_Item]] = {}
        for key, item in zip(root.keys, root.items, strict=True):
            role = self.roles.get(key) if isinstance(key, str) else None
            (own if role is None else parts.setdefault(role, [])).append((key, item))
        rest = MappingNode(root.tag, [key for key, _ in own], [item for _, item in own], root.factory, root.metadata)
        return rest, {part: self._tree(part, items) for part, items in parts.items()}

    def _is_alone(self, part: str) -> bool:
        return list(self.roles.values()).count(part) == 1

    def _tree(self, part: str, items: Sequence[_Item]) -> Tree:
        if self._is_alone(part):
            return items[0][1]
        return MappingNode(Tag.DICT, [key for key, _ in items], [item for _, item in items])
