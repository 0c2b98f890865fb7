"""Keeping some tensors in fewer bits, knowingly: said in the commit, and undone as far as it can be on resume."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

import torch

from deltackpt.errors import InvalidInputError
from deltackpt.training.nested import mapped

_SHORT = {"bf16": torch.bfloat16, "fp16": torch.float16, "bfloat16": torch.bfloat16, "float16": torch.float16}


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

        return (mapped(state, "", narrow), names) if self.rules else (state, names)


def widened(state: Any, names: frozenset[str], prefix: str) -> Any:
    """``state``, which stands at ``prefix``, with the named tensors as float32 again."""
    if not names:
        return state
    return mapped(state, prefix, lambda name, tensor: tensor.float() if name in names else tensor)
