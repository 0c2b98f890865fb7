"""How far two tensors are apart, against double-precision arithmetic on the same values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltackpt.diff.change import Change, change_between
from deltackpt.tensor.dtype import DTYPES


def between(old: Any, new: Any, name: str) -> Change:
    return change_between(np.asarray(old).tobytes(), np.asarray(new).tobytes(), DTYPES[name])


PAIRS = st.integers(0, 50).flatmap(
    lambda size: st.tuples(*(hnp.arrays(np.float32, size, elements=st.floats(-1e6, 1e6, width=32)) for _ in range(2)))
)


@given(PAIRS)
def test_finite_floats(pair: tuple[Any, Any]) -> None:
    old, new = pair
    change = between(old, new, "float32")
    distance = new.astype(np.float64) - old.astype(np.float64)
    assert change.elements == len(old)
    assert change.changed == int((old.view(np.uint32) != new.view(np.uint32)).sum())
    assert change.l2 == pytest.approx(float(np.linalg.norm(distance)))
    assert change.largest == (float(np.abs(distance).max()) if change.changed else 0.0)
    assert change.nonfinite == 0


@given(PAIRS, PAIRS)
def test_sums_of_pieces_are_the_whole(one: tuple[Any, Any], two: tuple[Any, Any]) -> None:
    whole = between(np.concatenate([one[0], two[0]]), np.concatenate([one[1], two[1]]), "float32")
    total = between(*one, "float32") + between(*two, "float32")
    assert (whole.elements, whole.changed, whole.largest) == (total.elements, total.changed, total.largest)
    assert whole.square == pytest.approx(total.square)


def test_values_that_are_not_finite_are_counted_apart() -> None:
    old = np.array([1, np.nan, np.inf, 4, -np.inf], np.float32)
    new = np.array([3, np.nan, 2, np.nan, -np.inf], np.float32)
    assert between(old, new, "float32") == Change(5, 3, 4.0, 2.0, 2)


def test_zero_and_minus_zero_differ_in_bits_alone() -> None:
    assert between(np.float32([0.0]), np.float32([-0.0]), "float32") == Change(1, 1, 0.0, 0.0, 0)


def test_other_types() -> None:
    assert between(np.array([1 + 1j]), np.array([4 + 5j]), "complex128") == Change(1, 1, 25.0, 5.0, 0)
    assert between(np.array([True, False]), np.array([True, True]), "bool") == Change(2, 1, 1.0, 1.0, 0)
    assert between(np.uint8([250]), np.uint8([5]), "uint8") == Change(1, 1, 245.0**2, 245.0, 0)
    assert between(np.int64([-3, 7]), np.int64([4, 7]), "int64") == Change(2, 1, 49.0, 7.0, 0)
    assert between(np.uint16([0x3F80]), np.uint16([0x4000]), "bfloat16") == Change(1, 1, 1.0, 1.0, 0)
    assert between(np.uint8([1]), np.uint8([2]), "float4_e2m1fn_x2") == Change(1, 1)


def test_fraction_and_norm() -> None:
    assert Change(8, 2, 9.0, 3.0).fraction == 0.25
    assert Change(8, 2, 9.0, 3.0).l2 == 3.0
    assert Change().fraction == 0.0
