"""Loading into tensors that exist already: which leaf goes into which, and the copy once its bytes are proven.

Reading and hashing are the caller's. A :class:`Pair` takes plain bytes that have been hashed already.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from deltackpt.errors import InvalidInputError
from deltackpt.skeleton.leaves import Leaf, Tables, TensorLeaf
from deltackpt.skeleton.names import joined, segment, shown
from deltackpt.skeleton.nodes import Reference
from deltackpt.skeleton.view import View

_SHOWN = 5


class PairingError(InvalidInputError):
    """The target and the stored part do not fit; ``missing``, ``unexpected`` and ``mismatched`` hold all names."""

    def __init__(self, missing: list[str], unexpected: list[str], mismatched: list[str]) -> None:
        kinds = (("missing in the target", missing), ("not stored", unexpected), ("different", mismatched))
        found = "; ".join(f"{_listed(names)} {kind}" for kind, names in kinds if names)
        super().__init__(
            f"the target does not fit: {found}; pass a target of the same shapes and types, "
            "or strict=False for names that only one side has"
        )
        self.missing = missing
        self.unexpected = unexpected
        self.mismatched = mismatched


@dataclass(frozen=True, slots=True)
class Pair:
    """A stored leaf and the live tensor that it replaces.

    ``reference`` is the table entry whose plain bytes are needed; ``view`` the window on them, or None for all.
    """

    name: str
    reference: Reference
    view: View | None
    target: Any

    def replace(self, plain: memoryview | bytes) -> None:
        """Overwrite the target, on its device and with its strides, with the leaf's own C-order bytes."""
        _library(self.target).overwrite(self.target, plain)


def pair(
    target: object,
    leaves: Iterable[Leaf],
    tables: Tables,
    *,
    part: str = "",
    strict: bool = True,
) -> list[Pair]:
    """Pair the tensors within ``target`` (any nesting, such as ``model.state_dict()``) with the leaves of ``part``.

    A tensor of another element type or shape is always an error; one that only one side has is an error when
    ``strict``. Nothing is changed here.
    """
    live = dict(tensors_within(target, part))
    stored = {leaf.name: leaf for leaf in leaves if isinstance(leaf, TensorLeaf)}
    different = [
        f"{shown(name)} ({what})"
        for name, leaf in stored.items()
        if name in live and (what := _difference(live[name], leaf, tables))
    ]
    missing = [name for name in stored if name not in live] if strict else []
    unexpected = [name for name in live if name not in stored] if strict else []
    if missing or unexpected or different:
        raise PairingError(missing, unexpected, different)
    return [Pair(name, leaf.reference, leaf.view, live[name]) for name, leaf in stored.items() if name in live]


def tensors_within(target: object, path: str) -> Iterator[tuple[str, Any]]:
    """The tensors and arrays of a nested target, by complete name."""
    if isinstance(target, dict):
        for key, item in target.items():
            yield from tensors_within(item, joined(path, segment(key)))
    elif isinstance(target, list | tuple):
        for index, item in enumerate(target):
            yield from tensors_within(item, joined(path, str(index)))
    elif _is_torch(target) or _is_numpy(target):
        yield path, target


def _is_torch(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_numpy(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _difference(live: Any, leaf: TensorLeaf, tables: Tables) -> str | None:
    """What is different, stored against live, or None."""
    dtype, shape = leaf.form(tables)
    found = _library(live).table_form(live)
    if found == (dtype, shape):
        return None
    return f"stored {dtype} {list(shape)}, target {found[0]} {list(found[1])}"


def _library(live: object) -> Any:
    """The module of this package that knows how a live tensor's library describes and overwrites it."""
    if _is_torch(live):
        from deltackpt.skeleton import torch_tensors

        return torch_tensors
    from deltackpt.skeleton import numpy_arrays

    return numpy_arrays


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shown(name) for name in names[:_SHOWN]) + more
