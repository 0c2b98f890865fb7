"""Keeping some tensors in fewer bits, knowingly: said in the commit, and undone as far as it can be on resume."""

from __future__ import annotations

import fnmatch
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch

from deltackpt.errors import InvalidInputError

_SHORT = {"bf16": torch.bfloat16, "fp16": torch.float16, "bfloat16": torch.bfloat16, "float16": torch.float16}

Change = Callable[[str, torch.Tensor], torch.Tensor]


class Cast:
    """Rules from patterns over names with dots (``optimizer.*``) to a 16-bit type, for float32 tensors."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        for pattern, short in rules.items():
            if short not in _SHORT:
                raise InvalidInputError(f"cast={{{pattern!r}: {short!r}}}: one of {', '.join(_SHORT)}")
        self.rules = {pattern: str(_SHORT[short]).removeprefix("torch.") for pattern, short in rules.items()}

    def narrowed(self, state: Any) -> tuple[Any, list[str]]:
        """A copy of ``state`` with the chosen tensors cast, and their names."""
        names: list[str] = []

        def narrow(name: str, tensor: torch.Tensor) -> torch.Tensor:
            rule = next((short for pattern, short in self.rules.items() if fnmatch.fnmatchcase(name, pattern)), None)
            if rule is None or tensor.dtype != torch.float32 or tensor.dim() == 0:
                return tensor
            names.append(name)
            return tensor.detach().to(_SHORT[rule])

        return (_mapped(state, "", narrow), names) if self.rules else (state, names)


def widened(state: Any, names: frozenset[str], prefix: str) -> Any:
    """``state``, which stands at ``prefix``, with the named tensors as float32 again."""
    if not names:
        return state
    return _mapped(state, prefix, lambda name, tensor: tensor.float() if name in names else tensor)


def _mapped(value: Any, name: str, change: Change) -> Any:
    """Dicts, lists and tuples anew, with each tensor changed; everything else as it is."""
    if isinstance(value, torch.Tensor):
        return change(name, value)
    if type(value) in (dict, OrderedDict):
        made = type(value)(
            (key, _mapped(item, f"{name}.{key}" if name else str(key), change)) for key, item in value.items()
        )
        if hasattr(value, "_metadata"):
            made._metadata = value._metadata
        return made
    if type(value) in (list, tuple):
        return type(value)(_mapped(item, f"{name}.{at}", change) for at, item in enumerate(value))
    return value
