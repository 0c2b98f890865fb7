"""A state that a checkout wrote as safetensors: its tensors under full names, the rest of it in the header's metadata.

Committing such a file gives back that state, type for type. Whatever does not fit, in a file that something else wrote
or changed, leaves a dict of tensors by name, as of any other file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from deltackpt.content.table import Row
from deltackpt.errors import DeltackptError
from deltackpt.formats.reading import Reading
from deltackpt.formats.safetensors.reader import read_header
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import Span, TensorSpan
from deltackpt.skeleton.leaves import TensorLeaf, leaves
from deltackpt.skeleton.nodes import Mapping as MappingNode
from deltackpt.skeleton.nodes import PartHere, Placement, Reference, Skeleton, Tree
from deltackpt.skeleton.read import read_skeleton
from deltackpt.skeleton.references import moved
from deltackpt.tensor.dtype import DTYPES

_ORIGIN = "deltackpt"
_ROOT = ""


@dataclass(frozen=True, slots=True)
class ExportedState:
    """The skeletons of a state by part, the root's among them, and how they stand in a file."""

    skeletons: Mapping[str, Skeleton]
    tensors: Mapping[str, Mapping[str, Any]]

    @property
    def parts(self) -> list[str]:
        """The parts beside the root."""
        return [name for name in self.skeletons if name != _ROOT]

    def renamed(self, reading: Reading) -> Reading:
        """The file's spans with the names and types that the tensors have in the state."""
        return replace(reading, spans=tuple(map(self._renamed, reading.spans)))

    def _renamed(self, span: Span) -> Span:
        told = self.tensors.get(span.name) if isinstance(span, TensorSpan) else None
        if told is None or not isinstance(span, TensorSpan):
            return span
        dtype, shape = DTYPES.get(told.get("dtype", ""), span.dtype), tuple(told.get("shape", span.shape))
        if prod(shape) * dtype.itemsize != span.length:
            return span
        return replace(span, name=str(told.get("name", span.name)), dtype=dtype, shape=shape)

    def state(self, named: Mapping[str, Row]) -> tuple[Tree, list[tuple[Row, Placement]]] | None:
        """The nested state whose tensors are the rows of those names; None when one is missing."""
        rows = self._rows(named)
        if any(leaf.reference not in rows for leaf in self._leaves()):
            return None
        places = {old: row.reference for old, row in rows.items()}
        trees = {part: moved(found.tree, places) for part, found in self.skeletons.items()}
        return _whole(trees), list(self._placements(rows))

    def _rows(self, named: Mapping[str, Row]) -> dict[Reference, Row]:
        """The row of each table entry: that of a leaf which is all of it."""
        found: dict[Reference, Row] = {}
        for leaf in self._leaves():
            if leaf.view is None and leaf.name in named:
                found.setdefault(leaf.reference, named[leaf.name])
        return found

    def _leaves(self) -> Iterator[TensorLeaf]:
        for skeleton in self.skeletons.values():
            yield from (leaf for leaf in leaves(skeleton) if isinstance(leaf, TensorLeaf))

    def _placements(self, rows: Mapping[Reference, Row]) -> Iterator[tuple[Row, Placement]]:
        for part, skeleton in self.skeletons.items():
            for index, placement in skeleton.placements.items():
                # What no leaf refers to, such as the bytes of a file, has no row.
                row, group = rows.get(Reference(part, index)), placement.group
                if row is not None and (group is None or group in rows):
                    yield row, replace(placement, group=None if group is None else rows[group].reference)


def exported_state(file: SourceFile) -> ExportedState | None:
    """The state that the safetensors ``file`` says it holds; None for any other."""
    origin = (read_header(file).metadata or {}).get(_ORIGIN)
    try:
        described = json.loads(origin or "null")
        raw = {name: base64.b64decode(text, validate=True) for name, text in described["skeletons"].items()}
        skeletons = {name: read_skeleton(data, name) for name, data in raw.items()}
        tensors = {name: dict(told) for name, told in described.get("tensors", {}).items()}
    except (DeltackptError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    root = skeletons.get(_ROOT)
    if root is None or _marks(root.tree) != skeletons.keys() - {_ROOT}:
        return None
    return ExportedState(skeletons, tensors)


def _marks(root: Tree) -> set[str]:
    """The parts that a root refers to."""
    items = root.items if isinstance(root, MappingNode) else []
    return {item.name for item in items if isinstance(item, PartHere)}


def _whole(trees: Mapping[str, Tree]) -> Tree:
    """The root with its parts in their places."""
    root = trees[_ROOT]
    if not isinstance(root, MappingNode):
        return root
    return replace(root, items=[trees[item.name] if isinstance(item, PartHere) else item for item in root.items])
