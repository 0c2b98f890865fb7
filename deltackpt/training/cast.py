"""Keeping some tensors in fewer bits, knowingly: said in the commit, and undone as far as it can be on resume."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Mapping
from typing import Any

import torch

from deltackpt.errors import InvalidInputError
from deltackpt.training.misfit import listed
from deltackpt.training.nested import mapped

log = logging.getLogger("deltackpt")

_SHORT = {"bf16": torch.bfloat16, "fp16": torch.float16, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Cast:
    """Rules from patterns over names with dots (``optimizer.*``) to a 16-bit type, for float32 tensors."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        for pattern, short in rules.items():
            if short not in _SHORT:
                raise InvalidInputError(f"cast={{{pattern!r}: {short!r}}}: one of {', '.join(_SHORT)}")
        self._told = False
        self.rules = {pattern: str(_SHORT[short]).removeprefix("torch.") for pattern, short in rules.items()}

    def narrowed(self, state: Any) -> tuple[Any, list[str]]:
        """A copy of ``state`` with the chosen tensors cast, and their names."""
        names: list[str] = []
        used: set[str] = set()

        def narrow(name: str, tensor: torch.Tensor) -> torch.Tensor:
            pattern = next((pattern for pattern in self.rules if fnmatch.fnmatchcase(name, pattern)), None)
            if pattern is None or tensor.dtype != torch.float32 or tensor.dim() == 0:
                return tensor
            names.append(name)
            used.add(pattern)
            return tensor.detach().to(_SHORT[self.rules[pattern]])

        if not self.rules:
            return state, names
        made = mapped(state, "", narrow)
        if not self._told and (idle := [pattern for pattern in self.rules if pattern not in used]):
            log.warning("cast= has rules for no float32 tensor of this save: %s", listed(idle))
        self._told = True
        return made, names


def widened(state: Any, names: frozenset[str], prefix: str) -> Any:
    """``state``, which stands at ``prefix``, with the named tensors as float32 again."""
    if not names:
        return state
    return mapped(state, prefix, lambda name, tensor: tensor.float() if name in names else tensor)
