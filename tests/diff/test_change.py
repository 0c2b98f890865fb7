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
    assert whole.l2 == pytest.approx(total.l2)


def test_values_that_are_not_finite_are_counted_apart() -> None:
    old = np.array([1, np.nan, np.inf, 4, -np.inf], np.float32)
    new = np.array([3, np.nan, 2, np.nan, -np.inf], np.float32)
    assert between(old, new, "float32") == Change(5, 3, 2.0, 2.0, 2)


def test_zero_and_minus_zero_differ_in_bits_alone() -> None:
    assert between(np.float32([0.0]), np.float32([-0.0]), "float32") == Change(1, 1, 0.0, 0.0, 0)


def test_other_types() -> None:
    assert between(np.array([1 + 1j]), np.array([4 + 5j]), "complex128") == Change(1, 1, 5.0, 5.0, 0)
    assert between(np.array([True, False]), np.array([True, True]), "bool") == Change(2, 1, 1.0, 1.0, 0)
    assert between(np.uint8([250]), np.uint8([5]), "uint8") == Change(1, 1, 245.0, 245.0, 0)
    assert between(np.int64([-3, 7]), np.int64([4, 7]), "int64") == Change(2, 1, 7.0, 7.0, 0)
    assert between(np.uint16([0x3F80]), np.uint16([0x4000]), "bfloat16") == Change(1, 1, 1.0, 1.0, 0)
    assert between(np.uint8([1]), np.uint8([2]), "float4_e2m1fn_x2") == Change(1, 1)


def test_large_whole_numbers_are_exact() -> None:
    big = 1 << 62
    assert between(np.int64([big]), np.int64([big + 1]), "int64") == Change(1, 1, 1.0, 1.0, 0)
    assert between(np.uint64([2**64 - 1, 0]), np.uint64([2**64 - 2, 0]), "uint64") == Change(2, 1, 1.0, 1.0, 0)
    far = between(np.int64([-(1 << 63)]), np.int64([(1 << 63) - 1]), "int64")
    assert far == Change(1, 1, float(2**64 - 1), float(2**64 - 1), 0)
    assert between(np.uint64([0]), np.uint64([2**64 - 1]), "uint64") == far
    assert between(np.int8([-128]), np.int8([127]), "int8") == Change(1, 1, 255.0, 255.0, 0)


def test_half_complex_numbers_have_both_parts() -> None:
    old, new = np.float16([1, 1, 5, 5, 0, np.nan]), np.float16([4, 5, 5, 5, 0, 1])
    assert between(old, new, "complex32") == Change(3, 2, 5.0, 5.0, 1)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 1e-320, 1e154])
def test_squares_that_no_float_holds(scale: float) -> None:
    change = between(np.full(100, scale), np.full(100, -scale), "float64")
    assert change.largest == 2 * scale
    assert change.l2 == pytest.approx(20 * scale, rel=1e-4)
    assert change.nonfinite == 0
    twice = change + change
    assert twice.l2 == pytest.approx(20 * scale * 2**0.5, rel=1e-4)


def test_a_difference_that_no_float_holds_is_infinite_and_finite_values_are_not_said_to_be_infinite() -> None:
    change = between(np.full(3, 1.7e308), np.full(3, -1.7e308), "float64")
    assert change == Change(3, 3, np.inf, np.inf, 0)


def test_elements_of_several_units_are_compared_in_their_bits() -> None:
    old, new = np.array(["abc", "abd", "x"]), np.array(["abc", "abe", "y"])
    assert change_between(old.tobytes(), new.tobytes(), DTYPES["uint32"], units=3) == Change(3, 2)


def test_fraction_and_norm() -> None:
    assert Change(8, 2, 3.0, 3.0).fraction == 0.25
    assert (Change(4, 2, 3.0, 3.0) + Change(4, 1, 4.0, 3.5, 1)) == Change(8, 3, 5.0, 3.5, 1)
    assert Change().fraction == 0.0
    assert Change(3, 2, 1.0, 1.0, 1).measured
    assert not Change(3, 2, 0.0, 0.0, 2).measured
