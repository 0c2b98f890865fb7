"""The choice: small, within the budget, never larger than raw, the same every time."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from codec_cases import bfloat16_bits, decoded, run_recipe, stepped, weights
from hypothesis import given
from hypothesis import strategies as st

from deltackpt.codec.choice import DEFAULT_BUDGET
from deltackpt.codec.encode import Base, Encoded, encode
from deltackpt.codec.recipes import LINK_COST, RECIPES, Recipe
from deltackpt.tensor.dtype import Element

MIB = 1 << 20
OLD = weights(MIB // 4)
NEW = stepped(OLD, 1e-5, 1)
KEYFRAME_COST = RECIPES[Recipe.PLANES].cost[4]


def view(array: np.ndarray) -> memoryview:
    return memoryview(array.tobytes())


def back(encoded: Encoded, element: Element, size: int, bases: list[Base]) -> bytes:
    base = None if encoded.base is None else bytes(bases[encoded.base].plain)
    return decoded(encoded.recipe, element, b"".join(encoded.payload), size, base)


def test_weights_become_planes_and_a_step_later_a_delta() -> None:
    keyframe = encode(view(OLD), Element.FLOAT32)
    assert (keyframe.recipe, keyframe.base, keyframe.cost) == (Recipe.PLANES, None, KEYFRAME_COST)
    assert keyframe.size < 0.87 * MIB
    bases = [Base(view(OLD), keyframe.cost)]
    delta = encode(view(NEW), Element.FLOAT32, bases)
    assert delta.base == 0
    assert delta.recipe in (Recipe.DELTA, Recipe.DELTA_GROUPED)
    assert delta.cost == KEYFRAME_COST + RECIPES[delta.recipe].cost[4]
    assert delta.size < 0.55 * MIB
    assert back(delta, Element.FLOAT32, MIB, bases) == NEW.tobytes()


def test_small_steps_of_bfloat16_are_grouped() -> None:
    """Only small weights move by whole last places, so the exponent of the old value tells much of the new one."""
    old, new = bfloat16_bits(OLD), bfloat16_bits(NEW)
    bases = [Base(view(old), 0.8)]
    encoded = encode(view(new), Element.BFLOAT16, bases, budget=9.0)
    assert encoded.recipe is Recipe.DELTA_GROUPED
    assert encoded.size < 0.8 * len(run_recipe(Recipe.DELTA, Element.BFLOAT16, new.tobytes(), old.tobytes()))
    assert back(encoded, Element.BFLOAT16, old.nbytes, bases) == new.tobytes()


def test_noise_stays_raw_and_is_not_copied() -> None:
    noise = memoryview(np.random.default_rng(0).integers(0, 256, MIB, np.uint8))
    encoded = encode(noise, Element.INT32, [Base(view(OLD), 0.8)])
    assert (encoded.recipe, encoded.size, encoded.base) == (Recipe.RAW, MIB, None)
    assert np.shares_memory(np.frombuffer(encoded.payload[0], np.uint8), np.frombuffer(noise, np.uint8))


@pytest.mark.parametrize("element", Element, ids=lambda e: e.name)
def test_zeros_cost_almost_nothing(element: Element) -> None:
    assert encode(memoryview(bytes(MIB)), element).size <= 64


@pytest.mark.parametrize("size", [0, 1, 63, 64, 100])
def test_tiny_chunks(size: int) -> None:
    plain = bytes(range(size))
    encoded = encode(memoryview(plain), Element.FLOAT32, [Base(memoryview(plain), 0.8)])
    assert encoded.size <= size
    assert back(encoded, Element.FLOAT32, size, [Base(memoryview(plain), 0.8)]) == plain


def test_text_keeps_its_repeats() -> None:
    text = Path(argparse.__file__).read_bytes()
    encoded = encode(memoryview(text), Element.INT8)
    assert encoded.recipe is Recipe.ZSTD
    assert encoded.size < 0.3 * len(text)


def test_the_budget_rules_out_dear_bases_and_ends_in_a_keyframe() -> None:
    bases = [Base(view(NEW), DEFAULT_BUDGET), Base(view(OLD), 0.8)]
    assert encode(view(NEW), Element.FLOAT32, bases).base == 1
    assert encode(view(NEW), Element.FLOAT32, bases[:1]).base is None
    assert encode(view(NEW), Element.FLOAT32, bases, budget=0.5 + LINK_COST).base is None


@pytest.mark.parametrize("budget", [0.0, 1.5, 2.0, 3.0, 4.0, 9.0])
def test_the_cost_of_a_delta_is_within_the_budget(budget: float) -> None:
    encoded = encode(view(NEW), Element.FLOAT32, [Base(view(OLD), 0.8)], budget=budget)
    assert encoded.base is None or encoded.cost <= budget


def test_the_better_base_is_taken_and_a_cheaper_one_when_nearly_as_good() -> None:
    near, far = Base(view(stepped(NEW, 1e-6, 2)), 0.8), Base(view(weights(OLD.size, 9)), 0.8)
    assert encode(view(NEW), Element.FLOAT32, [far, near]).base == 1
    dear = Base(near.plain, 2.5)
    assert encode(view(NEW), Element.FLOAT32, [dear, near]).base == 1


def test_bases_of_another_length_are_ignored() -> None:
    bases = [Base(view(NEW[1:]), 0.1), Base(view(OLD), 0.8)]
    assert encode(view(NEW), Element.FLOAT32, bases).base == 1


def test_an_unchanged_chunk_is_a_few_bytes() -> None:
    assert encode(view(NEW), Element.FLOAT32, [Base(view(NEW), 0.8)]).size <= 64


def test_integers_are_deltas_but_never_grouped() -> None:
    counts = np.random.default_rng(4).integers(0, 1 << 40, MIB // 8)
    grown = counts + np.random.default_rng(5).integers(0, 50, counts.size)
    bases = [Base(view(counts), 0.8)]
    encoded = encode(view(grown), Element.INT64, bases, budget=9.0)
    assert encoded.recipe is Recipe.DELTA
    assert encoded.size < 0.13 * MIB
    assert back(encoded, Element.INT64, MIB, bases) == grown.tobytes()


def test_the_same_bytes_encode_the_same_wherever_they_lie() -> None:
    """Alignment, earlier chunks in the thread's scratch, and the thread itself leave no trace."""
    shifted = memoryview(b"\0" + NEW.tobytes())[1:]
    bases = [Base(memoryview(b"\0\0\0" + OLD.tobytes())[3:], 0.8)]
    expected = encode(view(NEW), Element.FLOAT32, [Base(view(OLD), 0.8)])
    encode(view(weights(70_001, 3)), Element.FLOAT32)
    again = encode(shifted, Element.FLOAT32, bases)
    assert b"".join(again.payload) == b"".join(expected.payload)


def test_pieces_are_not_scratch() -> None:
    first = encode(view(NEW), Element.FLOAT32, [Base(view(OLD), 0.8)])
    before = b"".join(first.payload)
    encode(view(weights(OLD.size, 5)), Element.FLOAT32, [Base(view(weights(OLD.size, 6)), 0.8)])
    assert b"".join(first.payload) == before


def test_several_threads_at_once() -> None:
    steps = [OLD, *(stepped(OLD, 1e-5, seed) for seed in range(8))]

    def one(i: int) -> bool:
        bases = [Base(view(steps[i - 1]), 0.8)]
        encoded = encode(view(steps[i]), Element.FLOAT32, bases)
        return back(encoded, Element.FLOAT32, MIB, bases) == steps[i].tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, [1 + i % 8 for i in range(24)]))


@given(
    st.sampled_from(list(Element)),
    st.integers(0, 40_000),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 3, 200]),
    st.booleans(),
)
def test_whatever_is_chosen_comes_back_and_is_never_larger(
    element: Element, size: int, seed: int, spread: int, with_base: bool
) -> None:
    random = np.random.default_rng(seed)
    old = random.integers(0, 256, size, np.uint8) if seed % 2 else np.full(size, seed % 256, np.uint8)
    new = old + random.integers(0, spread + 1, size, np.uint8)
    bases = [Base(memoryview(old), 0.8)] if with_base else []
    encoded = encode(memoryview(new), element, bases)
    assert encoded.size <= size
    assert encoded.size == sum(map(len, encoded.payload))
    assert back(encoded, element, size, bases) == new.tobytes()
