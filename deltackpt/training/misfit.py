"""Where what a commit holds does not fit what is live, name by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from deltackpt.formats import wording

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Misfit:
    """Names that only the live side has (``missing`` in the commit), that only the commit has (``unexpected``), and
    those that are different, each with what is different.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    different: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything does not fit."""
        return bool(self.missing or self.unexpected or self.different)

    def __add__(self, other: Misfit) -> Misfit:
        return Misfit(
            self.missing + other.missing, self.unexpected + other.unexpected, self.different + other.different
        )

    def __str__(self) -> str:
        kinds = (("not stored", self.missing), ("stored, but not here", self.unexpected), ("different", self.different))
        return "; ".join(f"{what}: {listed(names)}" for what, names in kinds if names) or "everything fits"


def fit(stored: Mapping[str, Any], live: Mapping[str, Any], prefix: str) -> Misfit:
    """Compare two flat state dicts by name."""
    return Misfit(
        tuple(f"{prefix}{name}" for name in live if name not in stored),
        tuple(f"{prefix}{name}" for name in stored if name not in live),
        tuple(
            f"{prefix}{name} ({what})"
            for name, value in stored.items()
            if name in live and (what := difference(value, live[name]))
        ),
    )


def difference(stored: Any, live: Any) -> str:
    """How two values of a state dict differ in form, or nothing."""
    if not isinstance(stored, torch.Tensor) or not isinstance(live, torch.Tensor):
        return ""
    if stored.shape != live.shape:
        return f"stored {list(stored.shape)}, here {list(live.shape)}"
    return "" if stored.dtype == live.dtype else f"stored {_name(stored.dtype)}, here {_name(live.dtype)}"


def same_shape(stored: Any, live: Any) -> bool:
    """Whether a stored value can be put in the place of the live one, perhaps as another type."""
    both = isinstance(stored, torch.Tensor) and isinstance(live, torch.Tensor)
    return not both or stored.shape == live.shape


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Names as a sentence has them, not too many."""
    return wording.listed(names, _SHOWN)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
