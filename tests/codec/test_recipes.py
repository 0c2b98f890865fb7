"""Every recipe gives back every bit, for every element type."""

from __future__ import annotations

import numpy as np
import pytest
from codec_cases import DELTAS, ELEMENTS, FLOATS, PAIRS, SCALE, base_for, decoded, round_trip, run_recipe
from hypothesis import given
from hypothesis import strategies as st

from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.tensor.dtype import Element

SIXTEEN_BITS = [(recipe, element) for recipe, element in PAIRS if element.width == 2]
EVERY_PATTERN = np.arange(1 << 16, dtype=np.uint16)
SPECIAL = {
    Element.FLOAT16: (0x0000, 0x8000, 0x0001, 0x83FF, 0x7C00, 0xFC00, 0x7C01, 0xFE00, 0x7BFF),
    Element.BFLOAT16: (0x0000, 0x8000, 0x0001, 0x807F, 0x7F80, 0xFF80, 0x7F81, 0xFFC0, 0x7F7F),
    Element.FLOAT32: (0, 1 << 31, 1, 0x807FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0xFFC0DEAD, 0x7F7FFFFF),
    Element.FLOAT64: (0, 1 << 63, 1, (1 << 63) + 5, 0x7FF << 52, 0xFFF << 52, (0x7FF << 52) + 1, 0xFFF8 << 48, 3),
}


def test_the_numbers_on_disk_are_a_vow() -> None:
    assert {recipe.name: int(recipe) for recipe in Recipe} == {
        "RAW": 0,
        "ZSTD": 1,
        "PLANES": 2,
        "DELTA": 3,
        "DELTA_GROUPED": 4,
        "DELTA_SCALED": 5,
        "CAST": 6,
    }


def test_the_table_has_every_recipe_and_a_cost_for_every_width() -> None:
    assert set(RECIPES) == set(Recipe)
    assert all(set(entry.cost) == {element.width for element in Element} for entry in RECIPES.values())


@pytest.mark.parametrize(("recipe", "element"), SIXTEEN_BITS, ids=lambda value: value.name)
def test_all_patterns_of_16_bits_come_back(recipe: Recipe, element: Element) -> None:
    shuffled = np.random.default_rng(7).permutation(EVERY_PATTERN)
    bases = (EVERY_PATTERN, EVERY_PATTERN[::-1], shuffled, EVERY_PATTERN ^ 0x8000, EVERY_PATTERN + np.uint16(1))
    for base in bases:
        assert round_trip(recipe, element, EVERY_PATTERN.tobytes(), base.tobytes()) == EVERY_PATTERN.tobytes()


@pytest.mark.parametrize(
    ("recipe", "element"), [pair for pair in DELTAS if pair[1] in SPECIAL], ids=lambda value: value.name
)
def test_special_values_against_each_other(recipe: Recipe, element: Element) -> None:
    """Zeros of both signs, denormals, infinities, quiet and signalling NaNs with payloads, the largest number."""
    values = np.array(SPECIAL[element], f"<u{element.width}")
    plain, base = np.repeat(values, values.size), np.tile(values, values.size)
    assert round_trip(recipe, element, plain.tobytes(), base.tobytes()) == plain.tobytes()


@pytest.mark.parametrize(("recipe", "element"), PAIRS, ids=lambda value: value.name)
@pytest.mark.parametrize("size", [1, 7, 8, 9, 15, 4099])
def test_every_length(recipe: Recipe, element: Element, size: int) -> None:
    noise = np.random.default_rng(size).integers(0, 256, 2 * size, np.uint8).tobytes()
    plain, base = noise[:size], noise[size:]
    assert round_trip(recipe, element, plain, base) == plain


@pytest.mark.parametrize(("recipe", "element"), [p for p in PAIRS if p[0] is not Recipe.ZSTD], ids=lambda v: v.name)
def test_an_empty_chunk_is_an_empty_payload(recipe: Recipe, element: Element) -> None:
    base = base_for(recipe, b"")
    payload = run_recipe(recipe, element, b"", base)
    assert payload == (SCALE.pack() if recipe is Recipe.DELTA_SCALED else b"")
    assert decoded(recipe, element, payload, 0, base) == b""


@given(st.data(), st.sampled_from(PAIRS))
def test_any_bytes_against_any_base(data: st.DataObject, pair: tuple[Recipe, Element]) -> None:
    recipe, element = pair
    plain = data.draw(st.binary(min_size=1, max_size=300))
    base = data.draw(st.binary(min_size=len(plain), max_size=len(plain)))
    assert round_trip(recipe, element, plain, base) == plain


@given(
    st.sampled_from(FLOATS),
    st.lists(st.integers(0, 255), min_size=1, max_size=4),
    st.integers(1, 3000),
    st.integers(0, 2**32 - 1),
)
def test_runs_and_noise_side_by_side(element: Element, fills: list[int], length: int, seed: int) -> None:
    """Stretches of one byte next to noise: planes of every kind in one block, groups that did not change at all."""
    noise = np.random.default_rng(seed).integers(0, 256, length, np.uint8).tobytes()
    plain = noise.join(bytes([fill]) * length for fill in fills) + noise
    for base in (plain, plain[::-1], bytes(len(plain))):
        assert round_trip(Recipe.DELTA_GROUPED, element, plain, base) == plain
        assert round_trip(Recipe.DELTA, element, plain, base) == plain


@pytest.mark.parametrize("element", Element, ids=lambda e: e.name)
def test_long_chunks(element: Element) -> None:
    noise = np.random.default_rng(3).integers(0, 256, 700_001, np.uint8)
    base = np.where(np.arange(noise.size) % 5 == 0, noise // 7, noise).astype(np.uint8)
    for recipe in (r for r in Recipe if r is not Recipe.ZSTD and element in ELEMENTS[r]):
        assert round_trip(recipe, element, noise.tobytes(), base.tobytes()) == noise.tobytes()
