"""What the codec's tests share: recipes run by name, and values that are hard on a float codec."""

from __future__ import annotations

import numpy as np

from deltackpt.codec.choice import Trial
from deltackpt.codec.coders import Chunk
from deltackpt.codec.decode import decode
from deltackpt.codec.encode import Base, encode_as
from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.tensor.dtype import Element

FLOATS = [element for element in Element if element.exponent_bits]
DELTAS = [recipe for recipe, entry in RECIPES.items() if entry.needs_base]
PAIRS = [
    (recipe, element)
    for recipe in RECIPES
    for element in Element
    if recipe != Recipe.DELTA_GROUPED or element in FLOATS
]


def run_recipe(recipe: Recipe, element: Element, plain: bytes, base: bytes | None) -> bytes:
    """The payload of ``plain`` under exactly this recipe, all planes tried."""
    needs_base = RECIPES[recipe].needs_base
    bases = [Base(memoryview(base), 0.0)] if base is not None and needs_base else []
    trial = Trial(recipe, 0 if bases else None, 0.0, 0.0, (False,) * element.width)
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
    used = base if RECIPES[recipe].needs_base else None
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
