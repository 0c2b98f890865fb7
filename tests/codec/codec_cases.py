"""What the codec's tests share: recipes run by name, and values that are hard on a float codec."""

from __future__ import annotations

import numpy as np

from deltackpt.codec.choice import Trial
from deltackpt.codec.coders import Advice, Chunk
from deltackpt.codec.decode import decode
from deltackpt.codec.encode import Base, encode_as
from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.codec.rounding import ROUNDED
from deltackpt.codec.scaling import Scale
from deltackpt.tensor.dtype import Element

FLOATS = [element for element in Element if element.exponent_bits]
ELEMENTS = {
    recipe: {Recipe.DELTA_GROUPED: FLOATS, Recipe.DELTA_SCALED: [Element.FLOAT32], Recipe.CAST: sorted(ROUNDED)}.get(
        recipe, list(Element)
    )
    for recipe in RECIPES
}
PAIRS = [(recipe, element) for recipe, elements in ELEMENTS.items() for element in elements]
DELTAS = [pair for pair in PAIRS if RECIPES[pair[0]].needs_base]
SCALE = Scale.of(0.35)


def base_for(recipe: Recipe, base: bytes) -> bytes | None:
    """``base`` as the recipe takes it: not at all, as it is, or for a cast twice over."""
    return base * RECIPES[recipe].base_size if RECIPES[recipe].needs_base else None


def run_recipe(recipe: Recipe, element: Element, plain: bytes, base: bytes | None) -> bytes:
    """The payload of ``plain`` under exactly this recipe, all planes tried."""
    needs_base = RECIPES[recipe].needs_base
    bases = [Base(memoryview(base), 0.0)] if base is not None and needs_base else []
    trial = Trial(recipe, 0 if bases else None, 0.0, 0.0, Advice((False,) * element.width, SCALE))
    encoded = encode_as(Chunk.of(memoryview(plain), element), trial, bases)
    payload = b"".join(encoded.payload)
    assert encoded.size == len(payload)
    return payload


def decoded(recipe: int, element: Element, payload: bytes, size: int, base: bytes | None) -> bytes:
    out = bytearray(size)
    decode(recipe, element, memoryview(payload), memoryview(out), None if base is None else memoryview(base))
    return bytes(out)


def round_trip(recipe: Recipe, element: Element, plain: bytes, base: bytes) -> bytes:
    """``plain`` after encoding and decoding with ``base`` (ignored by keyframes)."""
    used = base_for(recipe, base)
    return decoded(recipe, element, run_recipe(recipe, element, plain, used), len(plain), used)


def stepped(values: np.ndarray, scale: float, seed: int) -> np.ndarray:
    """``values`` after an optimizer's step: moved by about ``scale``, whatever their size."""
    return (values + scale * np.random.default_rng(seed).standard_normal(values.size)).astype(values.dtype)


def weights(count: int, seed: int = 0) -> np.ndarray:
    """fp32 values spread like a layer's weights."""
    return (np.random.default_rng(seed).standard_normal(count) * 0.02).astype(np.float32)


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    """fp32 values cut to the upper half of their bits."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)
