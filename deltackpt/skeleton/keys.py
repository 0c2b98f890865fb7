"""Dictionary keys and set elements: what can be hashed and compared without a library, as it stands in a tree.

Plain values stand for themselves; members of enums, instances of registered classes, numbers of NumPy and constants of
PyTorch are the nodes that they are elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from deltackpt.skeleton.names import segment
from deltackpt.skeleton.nodes import Fields, Member, NumpyScalar, TorchDevice, TorchDtype, TorchSize, Tree
from deltackpt.skeleton.refusal import UnstorableError, is_registrable, refuse
from deltackpt.skeleton.registry import Registered, registered
from deltackpt.skeleton.tags import MAX_DEPTH, Tag

SCALARS = frozenset({type(None), bool, int, float, str, bytes, complex})
NODES = frozenset({Member, NumpyScalar, TorchSize, TorchDtype, TorchDevice})
"""Nodes that may be keys as they are; the fields of one of a registered class must be frozen first."""


def key_node(value: object, path: str, depth: int = 0) -> Tree:
    """How a key of the container at ``path`` stands in a tree; equal for equal keys. A node is itself.

    UnstorableError for what cannot be a key.
    """
    kind = type(value)
    if kind in SCALARS or kind in NODES or kind is Fields:
        return value
    if depth <= MAX_DEPTH:
        if isinstance(value, tuple | frozenset) and kind in (tuple, frozenset):
            return kind(key_node(item, path, depth + 1) for item in value)
        node = _instance_node(value, path, depth) or _library_node(value, path)
        if node is not None:
            return node
    if is_registrable(value):
        raise refuse(path, value)
    raise UnstorableError(
        path, f"{kind.__name__} cannot be stored as a key or a set element; use str, int, bytes or tuples of them"
    )


def frozen_fields(node: Fields, items: Iterable[Tree]) -> Fields:
    """An instance of a registered class as a key."""
    return Fields(node.tag, node.name, tuple(node.fields), tuple(items))


def level(key: object) -> str:
    """One level of the name of what stands at ``key`` in a live container."""
    try:
        return segment(key_node(key, ""))
    except UnstorableError:
        return segment(key)


def _instance_node(value: Any, path: str, depth: int) -> Member | Fields | None:
    entry = registered(type(value))
    if entry is None or entry.kind is Tag.TENSOR_SUBCLASS:
        return None
    if entry.kind in (Tag.ENUM, Tag.FLAG):
        return member_node(entry, value)
    items = tuple(key_node(getattr(value, name, None), path, depth + 1) for name in entry.fields)
    return Fields(entry.kind, entry.name, entry.fields, items)


def member_node(entry: Registered, value: Any) -> Member:
    """The node of an enum's member."""
    return Member(entry.kind, entry.name, int(value.value) if entry.kind is Tag.FLAG else value.name)


def _library_node(value: object, path: str) -> Tree:
    """The node of a library's constant, or None."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(value, numpy.generic) and not isinstance(value, numpy.void):
        from deltackpt.skeleton.numpy_arrays import scalar_node

        return scalar_node(value, path)
    if torch is not None and isinstance(value, torch.Size | torch.dtype | torch.device):
        from deltackpt.skeleton.torch_tensors import constant_node

        return constant_node(value)
    return None
