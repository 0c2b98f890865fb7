"""Payloads from a hostile disk: a typed error or wrong bytes of the right length, never more."""

from __future__ import annotations

import struct
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zstandard
from codec_cases import PAIRS, base_for, bfloat16_bits, decoded, run_recipe, stepped, weights

from deltackpt.codec.decode import UnknownRecipeError, decode
from deltackpt.codec.payload import PayloadError
from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.errors import CorruptError, UnsupportedError
from deltackpt.tensor.dtype import Element

RAW, CONSTANT, ZSTD = 0, 1, 2


def headers(*planes: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<BI", kind, length) for kind, length in planes)


def small_case(recipe: Recipe, element: Element) -> tuple[bytes, bytes, bytes | None]:
    """Payload, plain bytes and base of 67 ragged bytes with planes of every kind."""
    noise = np.random.default_rng(int(element)).integers(0, 256, 67, np.uint8)
    base = np.where(np.arange(67) % 3 == 0, noise, 5).astype(np.uint8).tobytes()
    plain = (np.frombuffer(base, np.uint8) + (np.arange(67) % 11 == 0)).astype(np.uint8).tobytes()
    used = base_for(recipe, base)
    return run_recipe(recipe, element, plain, used), plain, used


def outcome(recipe: int, element: Element, payload: bytes, size: int, base: bytes | None) -> bytes | None:
    """The bytes, or None for a typed error; anything else fails the test."""
    try:
        return decoded(recipe, element, payload, size, base)
    except (CorruptError, UnsupportedError):
        return None


@pytest.mark.parametrize(("recipe", "element"), PAIRS, ids=lambda value: value.name)
def test_cut_off_anywhere(recipe: Recipe, element: Element) -> None:
    payload, plain, base = small_case(recipe, element)
    assert decoded(recipe, element, payload, 67, base) == plain
    for length in range(len(payload)):
        with pytest.raises(PayloadError):
            decoded(recipe, element, payload[:length], 67, base)


@pytest.mark.parametrize(("recipe", "element"), PAIRS, ids=lambda value: value.name)
def test_trailing_bytes_are_refused(recipe: Recipe, element: Element) -> None:
    payload, _, base = small_case(recipe, element)
    with pytest.raises(PayloadError):
        decoded(recipe, element, payload + b"\0", 67, base)


@pytest.mark.parametrize(("recipe", "element"), PAIRS, ids=lambda value: value.name)
def test_every_bit_flipped(recipe: Recipe, element: Element) -> None:
    payload, _, base = small_case(recipe, element)
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        found = outcome(recipe, element, bytes(flipped), 67, base)
        assert found is None or len(found) == 67


@pytest.mark.parametrize(("recipe", "element"), PAIRS, ids=lambda value: value.name)
def test_noise_as_payload(recipe: Recipe, element: Element) -> None:
    random = np.random.default_rng(11)
    _, plain, base = small_case(recipe, element)
    for length in range(0, 200, 3):
        found = outcome(recipe, element, random.integers(0, 256, length, np.uint8).tobytes(), len(plain), base)
        assert found is None or len(found) == 67


@pytest.mark.parametrize("element", Element, ids=lambda e: e.name)
def test_a_payload_read_as_another_element(element: Element) -> None:
    payload, _, base = small_case(Recipe.DELTA, Element.FLOAT32)
    for recipe in Recipe:
        outcome(recipe, element, payload, 67, base_for(recipe, base or b""))


@pytest.mark.parametrize("recipe", [7, 8, 200, 255, -1])
def test_recipes_of_newer_releases_are_named(recipe: int) -> None:
    with pytest.raises(UnknownRecipeError, match=f"recipe {recipe} .* upgrade deltackpt") as caught:
        decoded(recipe, Element.INT8, b"", 1, None)
    assert caught.value.recipe == recipe


def bomb(size: int) -> bytes:
    """A frame that declares ``size`` zeros and holds them, 32 kB a GiB."""
    writer = zstandard.ZstdCompressor(level=1).compressobj(size=size)
    block = bytes(1 << 20)
    return b"".join([*(writer.compress(block) for _ in range(size >> 20)), writer.flush()])


def test_a_bomb_is_refused_before_anything_is_allocated_for_it() -> None:
    frame = bomb(1 << 30)
    assert len(frame) < 40_000
    payloads = {
        Recipe.ZSTD: frame,
        Recipe.PLANES: headers((ZSTD, len(frame))) + frame,
        Recipe.DELTA: headers((ZSTD, len(frame))) + frame,
    }
    tracemalloc.start()
    for recipe, payload in payloads.items():
        with pytest.raises(PayloadError, match="4096 bytes expected in a zstd frame, 1073741824 declared"):
            decoded(recipe, Element.INT8, payload, 4096, bytes(4096) if RECIPES[recipe].needs_base else None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100)), "64 bytes expected .* declared"),
        (zstandard.ZstdCompressor().compress(bytes(63)), "63 declared"),
        (zstandard.ZstdCompressor().compress(bytes(64)) * 2, "damaged zstd frame"),
        (b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstandard.ZstdCompressor().compress(bytes(64)), "zstd frame"),
        (b"", "zstd frame"),
        (bytes(64), "zstd frame"),
    ],
    ids=["size not declared", "one byte short", "two frames", "skippable frame first", "empty", "no magic"],
)
def test_frames_that_are_not_exactly_one_of_the_right_size(frame: bytes, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        decoded(Recipe.ZSTD, Element.INT8, frame, 64, None)
    with pytest.raises(PayloadError, match=message):
        decoded(Recipe.PLANES, Element.INT8, headers((ZSTD, len(frame))) + frame, 64, None)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (headers((RAW, 8), (RAW, 8)) + bytes(15), "8 bytes expected at byte 18, found 7"),
        (headers((RAW, 7), (RAW, 9)) + bytes(16), "plane of kind 0 with 7 bytes for 8 elements"),
        (headers((CONSTANT, 8), (RAW, 8)) + bytes(16), "plane of kind 1 with 8 bytes for 8 elements"),
        (headers((CONSTANT, 0), (RAW, 8)) + bytes(8), "plane of kind 1 with 0 bytes for 8 elements"),
        (headers((3, 1), (RAW, 8)) + bytes(9), "plane of kind 3 with 1 bytes for 8 elements"),
        (headers((RAW, 2**32 - 1), (RAW, 8)) + bytes(16), "4294967295 bytes expected"),
        (headers((RAW, 8)) + bytes(8), "plane of kind 0|bytes expected"),
    ],
)
def test_lying_plane_headers(payload: bytes, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        decoded(Recipe.PLANES, Element.INT16, payload, 16, None)


@pytest.mark.parametrize(
    ("first", "count"), [(0, 0), (0, 7), (0, 255), (256, 1), (251, 6), (65535, 6)], ids=lambda value: str(value)
)
def test_lying_groupings(first: int, count: int) -> None:
    payload = struct.pack("<HB", first, count) + headers((CONSTANT, 1), (CONSTANT, 1)) + b"\x80\0"
    with pytest.raises(PayloadError, match=f"{count} groups from exponent {first} of BFLOAT16"):
        decoded(Recipe.DELTA_GROUPED, Element.BFLOAT16, payload, 64, bytes(64))


def test_integers_grouped_is_damage() -> None:
    with pytest.raises(PayloadError, match="INT16 grouped by an exponent that it does not have"):
        decoded(Recipe.DELTA_GROUPED, Element.INT16, bytes(64), 64, bytes(64))


def test_a_scaled_base_is_of_float32() -> None:
    with pytest.raises(PayloadError, match="a scaled base of BFLOAT16"):
        decoded(Recipe.DELTA_SCALED, Element.BFLOAT16, bytes(64), 64, bytes(64))


@pytest.mark.parametrize("scale", [0.0, -0.5, 1.0000001, 2.0**-21, float("inf"), float("nan")])
def test_lying_scales(scale: float) -> None:
    payload = struct.pack("<f", scale) + headers(*[(CONSTANT, 1)] * 4) + b"\x80\x80\x80\0"
    with pytest.raises(PayloadError, match="a base scaled by"):
        decoded(Recipe.DELTA_SCALED, Element.FLOAT32, payload, 64, bytes(64))


def test_only_16_bit_floats_are_casts() -> None:
    with pytest.raises(PayloadError, match="INT16 as a rounded float32"):
        decoded(Recipe.CAST, Element.INT16, bytes(64), 64, bytes(128))
    with pytest.raises(PayloadError, match="a base of 64 bytes for a chunk of 64"):
        decoded(Recipe.CAST, Element.BFLOAT16, bytes(64), 64, bytes(64))


def test_bases_that_do_not_fit_the_recipe() -> None:
    with pytest.raises(PayloadError, match="a delta without its base"):
        decoded(Recipe.DELTA, Element.INT8, b"", 4, None)
    with pytest.raises(PayloadError, match="a keyframe with a base"):
        decoded(Recipe.RAW, Element.INT8, b"abcd", 4, b"abcd")
    with pytest.raises(PayloadError, match="a base of 3 bytes for a chunk of 4"):
        decoded(Recipe.DELTA, Element.INT8, b"", 4, b"abc")


def test_errors_are_one_line_with_the_next_step() -> None:
    with pytest.raises(PayloadError) as caught:
        decoded(Recipe.RAW, Element.INT8, b"abc", 4, None)
    assert str(caught.value) == "chunk payload: 4 bytes expected at byte 0, found 3; run `deltackpt verify`"


@pytest.mark.parametrize("shift", range(8))
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_into_the_middle_of_a_buffer_at_any_alignment(recipe: Recipe, shift: int) -> None:
    element = Element.BFLOAT16 if recipe is Recipe.CAST else Element.FLOAT32
    base = weights(5000)
    plain, size = stepped(base, 1e-5, 1).tobytes() + b"\1\2\3", 20_003
    used = base_for(recipe, base.tobytes() + b"abc")
    payload = run_recipe(recipe, element, plain, used)
    buffer = bytearray(b"\xee" * (size + 16))
    shifted = None if used is None else memoryview(bytes(shift) + used)[shift:]
    decode(recipe, element, memoryview(payload), memoryview(buffer)[shift : shift + size], shifted)
    assert buffer == b"\xee" * shift + plain + b"\xee" * (16 - shift)


def test_several_threads_at_once() -> None:
    old = bfloat16_bits(weights(100_000))
    cases = []
    for seed in range(6):
        new = bfloat16_bits(stepped(weights(100_000), 1e-4, seed)).tobytes()
        for recipe in (Recipe.PLANES, Recipe.DELTA, Recipe.DELTA_GROUPED):
            base = old.tobytes() if RECIPES[recipe].needs_base else None
            cases.append((recipe, run_recipe(recipe, Element.BFLOAT16, new, base), new, base))
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda c: decoded(c[0], Element.BFLOAT16, c[1], len(c[2]), c[3]) == c[2], cases * 4)
    assert all(found)
