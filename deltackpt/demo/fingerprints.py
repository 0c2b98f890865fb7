"""What a state holds, by name, taken with hashlib alone: nothing here is shared with the store that it is to judge."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """``tensors``: element type, shape and sha256 of the bytes of each. ``values``: everything else, written out."""

    tensors: dict[str, str]
    values: dict[str, str]


def fingerprints(state: Any) -> Fingerprints:
    """Of every leaf in ``state``, named by the keys that lead to it."""
    leaves = dict(_leaves(state, ()))
    tensors = {name: leaf for name, leaf in leaves.items() if isinstance(leaf, torch.Tensor)}
    values = {name: f"{type(leaf).__name__} {leaf!r}" for name, leaf in leaves.items() if name not in tensors}
    return Fingerprints({name: _of_tensor(tensor) for name, tensor in tensors.items()}, values)


def _leaves(state: Any, keys: tuple[object, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(state, Mapping | list | tuple) and state:
        items = state.items() if isinstance(state, Mapping) else enumerate(state)
        for key, item in items:
            yield from _leaves(item, (*keys, key))
    else:
        yield "/".join(map(str, keys)), state


def _of_tensor(tensor: torch.Tensor) -> str:
    plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return f"{tensor.dtype} {list(tensor.shape)} {hashlib.sha256(plain.numpy().tobytes()).hexdigest()}"
