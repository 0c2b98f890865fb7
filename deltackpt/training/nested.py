"""A nested state with its tensors changed, and everything else as it is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch

Change = Callable[[str, torch.Tensor], torch.Tensor]


def mapped(value: Any, name: str, change: Change) -> Any:
    """Dicts, lists and tuples anew, each tensor changed; ``name`` is where ``value`` stands, with dots."""
    if isinstance(value, torch.Tensor):
        return change(name, value)
    if type(value) in (dict, OrderedDict):
        items = ((key, mapped(item, f"{name}.{key}" if name else str(key), change)) for key, item in value.items())
        made = type(value)(items)
        if hasattr(value, "_metadata"):
            made._metadata = value._metadata
        return made
    if type(value) in (list, tuple):
        return type(value)(mapped(item, f"{name}.{at}", change) for at, item in enumerate(value))
    return value


def without_meta(state: Any) -> Any:
    """``state`` with something empty in the place of tensors that have no values yet."""
    return mapped(state, "", lambda name, tensor: torch.empty(0, device="cpu") if tensor.is_meta else tensor)
