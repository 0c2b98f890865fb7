"""A base scaled by the factor that training scaled it by."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from codec_cases import decoded, run_recipe, weights

from deltackpt.codec.encode import Base, encode
from deltackpt.codec.recipes import Recipe
from deltackpt.codec.scaling import Scale, fitting_scale, scaled
from deltackpt.tensor.dtype import Element

MIB = 1 << 20


def bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def decayed(old: np.ndarray, factor: float, steps: int, touched: float) -> np.ndarray:
    """Adam's moments ``steps`` later, where a gradient came only to the share ``touched`` of them."""
    random = np.random.default_rng(1)
    new = old.copy()
    for _ in range(steps):
        new = (new * np.float32(factor)).astype(np.float32)
    fresh = random.random(old.size) < touched
    new[fresh] += weights(old.size, 2)[fresh] * np.float32(0.1)
    return new


@pytest.mark.parametrize(("factor", "steps"), [(0.9, 1), (0.9, 10), (0.999, 10), (0.95, 50)])
@pytest.mark.parametrize("touched", [0.0, 0.5, 0.95])
def test_the_factor_is_found_among_values_that_changed_otherwise(factor: float, steps: int, touched: float) -> None:
    old = weights(8192)
    found = fitting_scale(bits(decayed(old, factor, steps, touched)), bits(old))
    assert found == pytest.approx(factor**steps, rel=1e-4)


def test_no_factor_where_nothing_decayed() -> None:
    assert fitting_scale(bits(weights(8192, 1)), bits(weights(8192, 2))) is None
    assert fitting_scale(bits(weights(8192)), bits(weights(8192))) is None
    assert fitting_scale(bits(np.zeros(8192)), bits(np.zeros(8192))) is None
    assert fitting_scale(bits(weights(8192)), bits(np.full(8192, np.nan))) is None


def test_moments_that_mostly_decayed_are_kept_scaled_and_come_back() -> None:
    old = weights(MIB // 4)
    new = decayed(old, 0.9, 10, 0.3)
    base = Base(memoryview(old.tobytes()), 0.6)
    encoded = encode(memoryview(new.tobytes()), Element.FLOAT32, [base])
    assert encoded.recipe is Recipe.DELTA_SCALED
    assert encoded.size < 0.8 * min(
        len(run_recipe(Recipe.DELTA, Element.FLOAT32, new.tobytes(), old.tobytes())),
        len(run_recipe(Recipe.PLANES, Element.FLOAT32, new.tobytes(), None)),
    )
    payload = b"".join(encoded.payload)
    assert decoded(encoded.recipe, Element.FLOAT32, payload, new.nbytes, old.tobytes()) == new.tobytes()


def test_what_a_processor_might_multiply_otherwise_stands_for_itself() -> None:
    tiny, least = np.float32(2.0**-103), np.float32(2.0**-102)
    values = bits(np.array([0.0, -0.0, tiny, -tiny, 1e-45, np.inf, -np.inf], np.float32))
    nans = np.array([0x7F800001, 0xFFC0DEAD], np.uint32)
    assert scaled(values, Scale.of(0.5)).tolist() == values.tolist()
    assert scaled(nans, Scale.of(0.5)).tolist() == nans.tolist()
    expected = bits(np.array([least / 2, -least / 2, 1.5e38], np.float32)).tolist()
    assert scaled(bits(np.array([least, -least, 3e38], np.float32)), Scale.of(0.5)).tolist() == expected


def test_the_same_bits_with_denormals_flushed() -> None:
    """A program may tell its processor to flush denormals; what it stores must not depend on that."""
    torch = pytest.importorskip("torch")
    old = (weights(50_000) * np.float32(1e-30) * np.float32(1e-8)).astype(np.float32)
    old[::3] *= np.float32(1e25)
    new = decayed(old, 0.9, 3, 0.2)
    plain = run_recipe(Recipe.DELTA_SCALED, Element.FLOAT32, new.tobytes(), old.tobytes())
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormals")
    try:
        assert run_recipe(Recipe.DELTA_SCALED, Element.FLOAT32, new.tobytes(), old.tobytes()) == plain
        assert decoded(Recipe.DELTA_SCALED, Element.FLOAT32, plain, new.nbytes, old.tobytes()) == new.tobytes()
    finally:
        torch.set_flush_denormal(False)
    assert ctypes.c_float(1e-45).value > 0
