"""GGUF files damaged at random: each is refused with a typed error, or tiled."""

from __future__ import annotations

import pytest
from gguf_corpus import ARRAY, DATA, GOOD, NAME, ONE, TEXT, U32, array, gguf, info, key, text, u32
from hypothesis import given, settings
from mutants import flipped, mutated, read_or_refused

from deltackpt.formats.gguf import read_spans

SEEDS = (
    GOOD,
    gguf([NAME, key(b"general.alignment", U32, u32(64))], [ONE, info(b"q", [32, 2], 2, 64)], bytes(100), alignment=64),
    gguf([key(b"k", ARRAY, array(TEXT, 2, text(b"x") + text(b"yz")))], [info(b"a", [2, 3], 30)], DATA * 3, version=2),
)


@settings(max_examples=2000)
@given(mutated(SEEDS))
def test_mutants_are_refused_or_tiled(raw: bytes) -> None:
    read_or_refused(read_spans, raw)


@pytest.mark.campaign
@settings(max_examples=200_000, derandomize=False)
@given(mutated(SEEDS))
def test_many_mutants(raw: bytes) -> None:
    read_or_refused(read_spans, raw)


@pytest.mark.parametrize("raw", SEEDS)
def test_every_truncation_before_the_last_tensor_ends_is_refused(raw: bytes) -> None:
    spans = read_or_refused(read_spans, raw)
    assert spans is not None
    for size in range(len(raw)):
        assert read_or_refused(read_spans, raw[:size]) is None


@pytest.mark.parametrize("raw", SEEDS)
def test_every_bit_flip_is_refused_or_tiled(raw: bytes) -> None:
    for mutant in flipped(raw):
        read_or_refused(read_spans, mutant)
