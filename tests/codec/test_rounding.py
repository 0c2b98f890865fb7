"""Float32 rounded to 16 bits as frameworks round."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from codec_cases import bfloat16_bits, decoded, run_recipe, stepped, weights

from deltackpt.codec.encode import Base, encode
from deltackpt.codec.recipes import Recipe
from deltackpt.codec.rounding import rounded
from deltackpt.tensor.dtype import Element

TYPES = {Element.BFLOAT16: np.dtype(ml_dtypes.bfloat16), Element.FLOAT16: np.dtype(np.float16)}
PATTERNS = np.concatenate(
    [
        np.random.default_rng(0).integers(0, 1 << 32, 1 << 20, np.uint32),
        # Every upper half with lower halves on and beside the tie.
        (np.arange(1 << 16, dtype=np.uint32)[:, None] << 16 | np.array([0, 0x7FFF, 0x8000, 0x8001, 0xFFFF])).ravel(),
        # The ties of float16 lie lower.
        (np.arange(1 << 19, dtype=np.uint32) << 13 | 0x1000),
    ]
).astype(np.uint32)


@pytest.mark.parametrize("element", TYPES, ids=lambda e: e.name)
def test_every_number_rounds_as_everywhere(element: Element) -> None:
    numbers = PATTERNS[np.isfinite(PATTERNS.view(np.float32)) | np.isinf(PATTERNS.view(np.float32))]
    with np.errstate(all="ignore"):
        expected = numbers.view(np.float32).astype(TYPES[element]).view(np.uint16)
    assert (rounded(numbers, element) == expected).all()


def test_torch_rounds_like_this() -> None:
    torch = pytest.importorskip("torch")
    numbers = PATTERNS[~np.isnan(PATTERNS.view(np.float32))]
    wide = torch.from_numpy(numbers.view(np.float32))
    for element, dtype in ((Element.BFLOAT16, torch.bfloat16), (Element.FLOAT16, torch.float16)):
        assert (rounded(numbers, element) == wide.to(dtype).view(torch.int16).numpy().view(np.uint16)).all()


def test_nan_is_the_same_on_every_processor() -> None:
    nans = np.array([0x7F800001, 0x7FC00000, 0xFFC0DEAD, 0xFFFFFFFF], np.uint32)
    assert rounded(nans, Element.FLOAT16).tolist() == [0x7E00] * 4
    assert rounded(nans, Element.BFLOAT16).tolist() == [0x7F80, 0x7FC0, 0xFFC1, 0x0000]


@pytest.mark.parametrize("element", TYPES, ids=lambda e: e.name)
def test_a_rounded_copy_costs_a_few_bytes(element: Element) -> None:
    wide = weights(1 << 18)
    narrow = wide.astype(TYPES[element])
    before = stepped(wide, 1e-4, 1).astype(TYPES[element])
    bases = [Base(memoryview(wide.tobytes()), 0.6), Base(memoryview(before.tobytes()), 0.6)]
    encoded = encode(memoryview(narrow.tobytes()), element, bases)
    assert (encoded.recipe, encoded.base) == (Recipe.CAST, 0)
    assert encoded.size <= 16
    payload = b"".join(encoded.payload)
    assert decoded(Recipe.CAST, element, payload, narrow.nbytes, wide.tobytes()) == narrow.tobytes()


def test_values_cut_off_instead_of_rounded_come_back_too() -> None:
    wide = weights(1 << 16)
    narrow = bfloat16_bits(wide).tobytes()
    payload = run_recipe(Recipe.CAST, Element.BFLOAT16, narrow, wide.tobytes())
    assert len(payload) < 0.25 * len(narrow)
    assert decoded(Recipe.CAST, Element.BFLOAT16, payload, len(narrow), wide.tobytes()) == narrow


def test_other_values_are_no_cast() -> None:
    wide, narrow = weights(1 << 16, 1), weights(1 << 16, 2).astype(np.float16)
    assert encode(memoryview(narrow.tobytes()), Element.FLOAT16, [Base(memoryview(wide.tobytes()), 0.6)]).base is None
