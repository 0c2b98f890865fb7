"""How far two versions of a tensor are apart, from their plain bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltackpt.skeleton.numpy_build import type_of_table
from deltackpt.tensor.dtype import DType

# Beyond these a square is no normal number any more.
_LEAST, _MOST = 1e-150, 1e150


@dataclass(frozen=True, slots=True)
class Change:
    """What differs in some elements of a tensor: how many there are, how many differ in their bits, and by how much.

    ``l2`` is the Euclidean norm of the differences, ``largest`` the greatest magnitude of one; both leave out
    elements where a side is not finite, which ``nonfinite`` counts. A difference beyond the largest float64 is inf.
    """

    elements: int = 0
    changed: int = 0
    l2: float = 0.0
    largest: float = 0.0
    nonfinite: int = 0

    def __add__(self, other: Change) -> Change:
        return Change(
            self.elements + other.elements,
            self.changed + other.changed,
            math.hypot(self.l2, other.l2),
            max(self.largest, other.largest),
            self.nonfinite + other.nonfinite,
        )

    @property
    def fraction(self) -> float:
        """Share of the elements that changed, 0 to 1."""
        return self.changed / self.elements if self.elements else 0.0

    @property
    def measured(self) -> bool:
        """Whether the distances are those of at least one element that changed."""
        return self.changed > self.nonfinite


def change_between(old: memoryview | bytes, new: memoryview | bytes, dtype: DType, units: int = 1) -> Change:
    """Compare plain bytes of equal length, element by element; an element is ``units`` of ``dtype``.

    Elements of several units (texts, records) and of types without arithmetic are compared in their bits alone.
    """
    size = dtype.itemsize * units
    before, after = (np.frombuffer(side, np.uint8).reshape(-1, size) for side in (old, new))
    differ = (before != after).any(axis=1)
    changed = int(differ.sum())
    kind = _type_to_compute(dtype) if units == 1 else None
    if not changed or kind is None:
        return Change(len(differ), changed)
    distance = _distances(*(np.ascontiguousarray(side[differ]).view(kind) for side in (before, after)))
    return Change(len(differ), changed, _norm(distance), _largest(distance), changed - len(distance))


def _type_to_compute(dtype: DType) -> np.dtype[Any] | None:
    """The NumPy type to compute with, None where bits are all that can be compared."""
    if dtype.name == "complex32":
        # NumPy has no such type; as rows of two, real and imaginary parts are had one by one.
        return np.dtype(np.float16)
    found = type_of_table(dtype)
    return None if found.type is np.void else found


def _distances(old: Any, new: Any) -> Any:
    """Magnitudes of the differences of rows, each one number or the two parts of one, where both are finite."""
    if old.dtype.kind in "iu":
        # Exact for every pair: modulo 2^64, and always from the smaller to the larger.
        whole = np.uint64 if old.dtype.kind == "u" else np.int64
        old, new = old[:, 0].astype(whole), new[:, 0].astype(whole)
        return np.where(new > old, new.view(np.uint64) - old.view(np.uint64), old.view(np.uint64) - new.view(np.uint64))
    with np.errstate(all="ignore"):
        wide = np.complex128 if old.dtype.kind == "c" else np.float64
        old, new = old.astype(wide), new.astype(wide)
        finite = (np.isfinite(old) & np.isfinite(new)).all(axis=1)
        parts = np.abs(new[finite] - old[finite]).T
        return parts[0] if len(parts) == 1 else np.hypot(*parts)


def _norm(distance: Any) -> float:
    largest = _largest(distance)
    if not largest or math.isinf(largest):
        return largest
    scale = 1.0 if _LEAST < largest < _MOST else largest
    return scale * math.sqrt(float(np.square(distance / scale).sum()))


def _largest(distance: Any) -> float:
    return float(distance.max()) if distance.size else 0.0
