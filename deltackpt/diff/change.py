"""How far two versions of a tensor are apart, from their plain bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from deltackpt.tensor.dtype import DType


@dataclass(frozen=True, slots=True)
class Change:
    """Sums over some elements of a tensor: how many there are, how many differ in their bits, and by how much.

    ``square`` is the sum of squared differences, ``largest`` the greatest magnitude of one; both leave out
    elements where a side is not finite, which ``nonfinite`` counts.
    """

    elements: int = 0
    changed: int = 0
    square: float = 0.0
    largest: float = 0.0
    nonfinite: int = 0

    def __add__(self, other: Change) -> Change:
        return Change(
            self.elements + other.elements,
            self.changed + other.changed,
            self.square + other.square,
            max(self.largest, other.largest),
            self.nonfinite + other.nonfinite,
        )

    @property
    def fraction(self) -> float:
        """Share of the elements that changed, 0 to 1."""
        return self.changed / self.elements if self.elements else 0.0

    @property
    def l2(self) -> float:
        """Euclidean norm of the difference."""
        return math.sqrt(self.square)


def change_between(old: memoryview | bytes, new: memoryview | bytes, dtype: DType) -> Change:
    """Compare plain bytes of equal length, element by element; differences in double precision."""
    size = dtype.itemsize
    bits = np.frombuffer(old, np.uint8).reshape(-1, size) != np.frombuffer(new, np.uint8).reshape(-1, size)
    differ = bits.any(axis=1)
    changed = int(differ.sum())
    count = len(differ)
    kind = _numpy_type(dtype)
    if not changed or kind is None:
        return Change(count, changed)
    distance = np.abs(_values(new, kind)[differ] - _values(old, kind)[differ])
    finite = np.isfinite(distance)
    distance = distance[finite]
    largest = float(distance.max()) if distance.size else 0.0
    return Change(count, changed, float(np.square(distance).sum()), largest, changed - int(finite.sum()))


def _values(plain: memoryview | bytes, kind: np.dtype[Any]) -> Any:
    wide = np.complex128 if kind.kind == "c" else np.float64
    with np.errstate(invalid="ignore"):
        return np.frombuffer(plain, kind).astype(wide)


def _numpy_type(dtype: DType) -> np.dtype[Any] | None:
    """The type to compute with, None where bits are all that can be compared."""
    name = "bool_" if dtype.name == "bool" else dtype.name
    found = getattr(np, name, None) or getattr(ml_dtypes, name, None)
    return np.dtype(found) if found is not None and np.dtype(found).itemsize == dtype.itemsize else None
