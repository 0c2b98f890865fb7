"""Loading into tensors that exist already: which leaf goes into which, and the copy once its bytes are proven.

Reading and hashing are the caller's. A :class:`Pair` takes plain bytes that have been hashed already.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from deltackpt.errors import InvalidInputError
from deltackpt.skeleton.keys import level
from deltackpt.skeleton.leaves import Leaf, Tables, TensorLeaf
from deltackpt.skeleton.names import joined, shown
from deltackpt.skeleton.nodes import QuantizedTensor, Reference
from deltackpt.skeleton.registry import registered
from deltackpt.skeleton.subclasses import inner_tensors
from deltackpt.skeleton.tags import Tag
from deltackpt.skeleton.view import View

_SHOWN = 5


class PairingError(InvalidInputError):
    """The target and the stored part do not fit.

    ``missing``, ``unexpected``, ``mismatched`` and ``unwritable`` hold all names, the last two with what is wrong.
    """

    def __init__(self, missing: list[str], unexpected: list[str], mismatched: list[str], unwritable: list[str]) -> None:
        kinds = (
            ("missing in the target", missing),
            ("not stored", unexpected),
            ("different", mismatched),
            ("impossible to write", unwritable),
        )
        found = "; ".join(f"{_listed(names)} {kind}" for kind, names in kinds if names)
        super().__init__(
            f"the target does not fit: {found}; pass a target of the same shapes and types, "
            "or strict=False for names that only one side has"
        )
        self.missing = missing
        self.unexpected = unexpected
        self.mismatched = mismatched
        self.unwritable = unwritable


@dataclass(frozen=True, slots=True)
class Pair:
    """A stored leaf and the live tensor that it replaces.

    ``reference`` is the table entry whose plain bytes are needed; ``view`` the window on them, or None for all.
    """

    name: str
    reference: Reference
    view: View | None
    target: Any

    def replace(self, plain: memoryview) -> None:
        """Overwrite the target, on its device and with its strides, with the leaf's own C-order bytes.

        ``plain`` must be writable, though it is not written: what libraries take for memory is.
        """
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

    A tensor of another element type or shape, or one that cannot be written, is always an error; one that only one
    side has is an error when ``strict``. Nothing is changed here.
    """
    live = dict(tensors_within(target, part))
    stored = {leaf.name: leaf for leaf in leaves if isinstance(leaf, TensorLeaf) and not leaf.is_value}
    pairs = [Pair(name, leaf.reference, leaf.view, live[name]) for name, leaf in stored.items() if name in live]
    different = _told((one.name, _difference(one.target, stored[one.name], tables)) for one in pairs)
    unwritable = _told((one.name, _library(one.target).objection(one.target)) for one in pairs)
    missing = [name for name in stored if name not in live] if strict else []
    unexpected = [name for name in live if name not in stored] if strict else []
    if missing or unexpected or different or unwritable:
        raise PairingError(missing, unexpected, different, unwritable)
    return pairs


def _told(found: Iterable[tuple[str, str | None]]) -> list[str]:
    """The names with which something is wrong, and what."""
    return [f"{shown(name)} ({what})" for name, what in found if what]


def tensors_within(target: object, path: str) -> Iterator[tuple[str, Any]]:
    """The tensors and arrays of a nested target, by complete name: as a state of that structure would name them."""
    if _is_torch(target):
        yield from _dense_parts(target, path)
    elif _is_numpy(target):
        yield path, target
    else:
        for key, item in _items(target):
            yield from tensors_within(item, joined(path, level(key)))


def _items(target: object) -> Iterable[tuple[object, object]]:
    """What a container holds, with its keys; a registered class holds its fields, or the tensors within it."""
    if isinstance(target, dict):
        return target.items()
    if _is_taken_apart(target):
        return inner_tensors(target).items()
    if (entry := registered(type(target))) is not None:
        return [(name, getattr(target, name)) for name in entry.fields]
    return enumerate(target) if isinstance(target, list | tuple) else ()


def _dense_parts(tensor: Any, path: str) -> Iterator[tuple[str, Any]]:
    """A tensor itself, or the parts that make up a sparse or a quantised one."""
    from deltackpt.skeleton.torch_sparse import LAYOUTS, sparse_parts

    if tensor.layout in LAYOUTS:
        yield from ((joined(path, name), part) for name, part in sparse_parts(tensor))
    elif tensor.is_quantized:
        from deltackpt.skeleton.quantized_target import live_parts

        yield from ((joined(path, part.name), part) for part in live_parts(tensor))
    else:
        yield path, tensor


def settle(target: Any) -> None:
    """After the last :meth:`Pair.replace`: what else depends on the values of the tensors within ``target``."""
    if _is_torch(target):
        from deltackpt.skeleton.torch_sparse import settle_sparse

        settle_sparse(target)
    else:
        for _, item in _items(target):
            settle(item)


def _is_torch(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor) and not _is_taken_apart(value)


def _is_taken_apart(value: object) -> bool:
    entry = registered(type(value))
    return entry is not None and entry.kind is Tag.TENSOR_SUBCLASS


def _is_numpy(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _difference(live: Any, leaf: TensorLeaf, tables: Tables) -> str | None:
    """What is different, stored against live, or None."""
    dtype, shape = leaf.form(tables)
    found = _library(live).table_form(live)
    if found == (dtype, shape):
        return _difference_of_whole(live, leaf)
    return f"stored {dtype} {list(shape)}, target {found[0]} {list(found[1])}"


def _difference_of_whole(live: Any, leaf: TensorLeaf) -> str | None:
    """What is different about a quantised tensor of which ``live`` is a part."""
    if not isinstance(leaf.whole, QuantizedTensor) or _is_torch(live) or _is_numpy(live):
        return None
    difference: str | None = _library(live).difference(leaf.whole, live)
    return difference


def _library(live: object) -> Any:
    """The module of this package that knows how to describe and overwrite what is live."""
    if _is_torch(live):
        from deltackpt.skeleton import torch_tensors

        return torch_tensors
    if _is_numpy(live):
        from deltackpt.skeleton import numpy_arrays

        return numpy_arrays
    from deltackpt.skeleton import quantized_target

    return quantized_target


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shown(name) for name in names[:_SHOWN]) + more
