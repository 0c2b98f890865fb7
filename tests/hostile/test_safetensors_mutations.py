"""Files damaged at random, seeded: each is refused with a typed error, or tiled as the official library reads it."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator

import pytest
from safetensors import SafetensorError, deserialize
from safetensors_corpus import DATA, GOOD, GOOD_TEXT, entry, pack

from deltackpt.errors import FormatError
from deltackpt.formats.safetensors import layout, read_spans
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import Literal, TensorSpan, check_tiling
from deltackpt.tensor.dtype import DTYPES

MUTATIONS = 20_000
LONG_RUN = 1_000_000


class Scratch:
    """One file whose bytes are replaced again and again."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def holding(self, raw: bytes) -> SourceFile:
        os.ftruncate(self._fd, len(raw))
        os.pwrite(self._fd, raw, 0)
        return SourceFile.of(self._fd, "mutant")


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with tempfile.TemporaryFile() as file:
        yield Scratch(file.fileno())


def check_wording(message: str) -> None:
    assert message.startswith("mutant: ")
    assert message.isprintable()


def check(scratch: Scratch, raw: bytes) -> bool:
    """Whether ``raw`` was accepted; when it was, every byte is covered once and the official library agrees."""
    try:
        spans = read_spans(scratch.holding(raw))
    except FormatError as error:
        check_wording(str(error))
        return False
    check_tiling(spans, len(raw), "mutant")
    assert isinstance(spans[0], Literal)
    ours = {span.name: span for span in spans[1:] if isinstance(span, TensorSpan)}
    theirs = dict(deserialize(raw))
    assert ours.keys() == theirs.keys()
    for name, span in ours.items():
        assert theirs[name]["dtype"] == span.dtype.safetensors
        assert raw[span.offset : span.offset + span.length] == theirs[name]["data"]
    return True


def seeds() -> tuple[bytes, ...]:
    described = [
        (f"layer.{i}.{dtype}", DTYPES[dtype], shape)
        for i, (dtype, shape) in enumerate(
            [("float32", (3, 2)), ("bfloat16", (5,)), ("bool", ()), ("int64", (0, 7)), ("float4_e2m1fn_x2", (2, 2))]
        )
    ]
    header, spans = layout(described, {"format": "pt"})
    many = header + bytes(spans[-1].offset + spans[-1].length - len(header))
    return (many, pack(GOOD, DATA), pack({"é\n": entry([2], [0, 4], "I16"), "b": entry([0], [4, 4])}, DATA))


TOKENS = (
    *(b'"', b"\\", b"\\u", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\0", b"\xff", b"-", b".", b"e", b"0", b"9"),
    *(
        b'"a"',
        b'"__metadata__":',
        b'"dtype"',
        b'"F32"',
        b'"F4"',
        b"[0,0]",
        b"null",
        b"18446744073709551615",
        b"4294967296",
    ),
    *(b"../", b"[" * 2000, b'{"a":' * 2000, b"9" * 400, b" " * 8, GOOD_TEXT),
)


def mutated(rng: random.Random, raw: bytes) -> bytes:
    """One to four edits of the header, half of the time with its length put right so that the JSON is reached."""
    out = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        at, span = rng.randrange(len(out) + 1), rng.randrange(12)
        match rng.randrange(6):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                out[at : at + span] = b""
            case 2:
                out[at:at] = rng.choice(TOKENS)
            case 3:
                out[at : at + span] = rng.choice(TOKENS)
            case 4:
                out[at:at] = out[at : at + span * 4]
            case _:
                digits = [place for place, byte in enumerate(out) if 48 <= byte <= 57]
                if digits:
                    out[rng.choice(digits)] = rng.randrange(48, 58)
    if rng.random() < 0.5 and len(out) > 8 and (closing := out.rfind(b"}}")) > 8:
        out[:8] = (closing + 2 - 8).to_bytes(8, "little")
    return bytes(out)


def run(scratch: Scratch, seed: int, count: int) -> int:
    rng, start = random.Random(seed), seeds()
    return sum(check(scratch, mutated(rng, rng.choice(start))) for _ in range(count))


def test_the_seeds_are_sound(scratch: Scratch) -> None:
    assert all(check(scratch, raw) for raw in seeds())


def test_random_mutations_are_refused_or_read_alike(scratch: Scratch) -> None:
    accepted = run(scratch, seed=20, count=MUTATIONS)
    assert 0.01 * MUTATIONS < accepted < 0.5 * MUTATIONS  # both outcomes are exercised


@pytest.mark.campaign
def test_a_million_mutations(scratch: Scratch) -> None:
    assert run(scratch, seed=int.from_bytes(os.urandom(4), "little"), count=LONG_RUN) > 0


def test_every_bit_flip_of_a_small_file_is_refused_or_read_alike(scratch: Scratch) -> None:
    raw = pack(GOOD, DATA)
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        accepted = check(scratch, bytes(flipped))
        assert accepted or bit // 8 < len(raw) - len(DATA), "tensor bytes carry no rule of the format"


def test_every_truncation_is_refused_by_both(scratch: Scratch) -> None:
    raw = seeds()[0]
    for size in range(len(raw)):
        assert not check(scratch, raw[:size])
        with pytest.raises(SafetensorError):
            deserialize(raw[:size])
