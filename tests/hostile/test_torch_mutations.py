"""Files damaged at random, seeded: each is read or kept as bytes, and where PyTorch loads one, both see the same."""

from __future__ import annotations

import collections
import io
import os
import random
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pickle_forge
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_again import Maker, same
from readings import LEGACY, saved
from torch_case import EVIL, GOOD

from deltackpt.errors import FormatError
from deltackpt.formats.pickles import read_pickle
from deltackpt.formats.pickles.literals import LITERALS
from deltackpt.formats.pickles.machine import _ACTS
from deltackpt.formats.reading import Reading
from deltackpt.formats.sniff import read
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import check_tiling

MUTATIONS = 6_000
LONG_RUN = 1_000_000
OPCODES = sorted([*LITERALS, *_ACTS, ord(".")])


class Scratch:
    """One file whose bytes are replaced again and again."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def reading_of(self, raw: bytes) -> Reading:
        os.ftruncate(self._fd, len(raw))
        os.pwrite(self._fd, raw, 0)
        reading = read(SourceFile.of(self._fd, "mutant"))
        check_tiling(reading.spans, len(raw), "mutant")
        if reading.warning is not None:
            assert str(reading.warning).startswith("mutant: ")
            assert str(reading.warning).isprintable()
        if reading.state is not None:
            reading.state.objections()
        return reading


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with tempfile.TemporaryFile() as file:
        yield Scratch(file.fileno())


def small_state() -> dict[str, Any]:
    weight = torch.arange(12.0).reshape(3, 4)
    made = collections.OrderedDict(weight=weight, tied=weight, t=weight.t())
    made._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    return {
        "model": made,
        "half": torch.nn.Parameter(torch.ones(2, 3, dtype=torch.bfloat16)),
        "new": torch.ones(4).to(torch.uint16),
        "step": 1000,
        "notes": ["a", 2.5, (None, True), {1, 2}],
    }


def arrays() -> bytes:
    np.savez(buffer := io.BytesIO(), a=np.arange(3), b=np.ones((2, 2), "<f4"))
    return buffer.getvalue()


def seeds() -> tuple[bytes, ...]:
    state = small_state()
    return (
        saved(state),
        saved(state, **LEGACY),
        saved(state, pickle_protocol=4),
        saved(state["half"]) + saved(state["new"]),
        arrays(),
        GOOD,
    )


TOKENS = (
    *(bytes([opcode]) for opcode in OPCODES),
    *(b"\0", b"\xff", b"\xff" * 4, b"\0" * 8, b"\xff" * 8, b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7"),
    *(EVIL, pickle_forge.storage(), pickle_forge.tensor(), pickle_forge.number(1 << 40), b"](" * 50, b"../", b"data/0"),
)


def mutated(rng: random.Random, raw: bytes) -> bytes:
    """One to four edits, most of them where there is no tensor data."""
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
                token = rng.choice(TOKENS)
                out[at : at + len(token)] = token
            case 4:
                out[at:at] = out[at : at + span * 4]
            case _:
                out[at : at + 2] = rng.randbytes(2)
    return bytes(out)


def run(scratch: Scratch, seed: int, count: int) -> collections.Counter[str]:
    rng, start = random.Random(seed), seeds()
    outcomes: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        reading = scratch.reading_of(mutated(rng, rng.choice(start)))
        outcomes["kept" if reading.warning else "read"] += 1
    return outcomes


def test_random_mutations_are_read_or_kept_as_bytes(scratch: Scratch) -> None:
    outcomes = run(scratch, 41, MUTATIONS)
    assert min(outcomes["kept"], outcomes["read"]) > 0.05 * MUTATIONS  # both outcomes are exercised


@pytest.mark.campaign
def test_a_million_mutations(scratch: Scratch) -> None:
    outcomes = run(scratch, int.from_bytes(os.urandom(4), "little"), LONG_RUN)
    assert outcomes.total() == LONG_RUN


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_every_truncation_is_kept_with_a_warning(scratch: Scratch, options: dict[str, Any]) -> None:
    raw = saved(small_state(), **options)
    for size in range(len(raw)):
        assert scratch.reading_of(raw[:size]).warning is not None


@pytest.mark.parametrize("options", [{}, LEGACY], ids=["zip", "legacy"])
def test_every_flipped_bit_before_the_tensors_is_survived(scratch: Scratch, options: dict[str, Any]) -> None:
    raw = saved({"w": torch.arange(4.0)}, **options)
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        scratch.reading_of(bytes(flipped))


def loaded(raw: bytes) -> Any:
    """What PyTorch loads; None when it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return (torch.load(io.BytesIO(raw), weights_only=True),)
        except Exception:  # noqa: BLE001 - PyTorch raises whatever its parts raise
            return None


def with_pickle(edit: Any) -> bytes:
    """A saved state whose pickle was edited, in an archive that is otherwise sound."""
    with zipfile.ZipFile(io.BytesIO(saved(small_state()))) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    records["archive/data.pkl"] = edit(records["archive/data.pkl"])
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as again:
        for name, content in records.items():
            again.writestr(name, content)
    return buffer.getvalue()


def nudged(rng: random.Random, pickled: bytes) -> bytes:
    """One byte changed: most often a pickle that can still be read, and says something else."""
    out = bytearray(pickled)
    at = rng.randrange(len(out))
    out[at] = (out[at] + rng.choice([-1, 1, rng.randrange(256)])) % 256
    return bytes(out)


def agreements(scratch: Scratch, seed: int, count: int) -> int:
    """How many mutants PyTorch loads and the tree says all of; each is the same in both."""
    rng = random.Random(seed)
    agreed = 0
    for _ in range(count):
        raw = with_pickle(lambda pickled: nudged(rng, pickled))
        reading, theirs = scratch.reading_of(raw), loaded(raw)
        if theirs is None or reading.warning is not None or reading.state is None or reading.state.objections():
            continue
        same(Maker(reading.state, raw).root(), theirs[0])
        agreed += 1
    return agreed


def test_where_pytorch_loads_a_mutant_the_tree_gives_the_same(scratch: Scratch) -> None:
    assert agreements(scratch, seed=43, count=1000) > 50


@pytest.mark.campaign
def test_where_pytorch_loads_a_mutant_the_tree_gives_the_same_at_length(scratch: Scratch) -> None:
    assert agreements(scratch, int.from_bytes(os.urandom(4), "little"), count=100_000) > 5_000


@settings(max_examples=500)
@given(st.lists(st.sampled_from(OPCODES).map(lambda code: bytes([code])) | st.binary(max_size=4), max_size=40))
def test_no_sequence_of_opcodes_fails_otherwise_than_typed(parts: list[bytes]) -> None:
    try:
        read_pickle(b"".join(parts) + b".", 0, "f")
    except FormatError as error:
        assert str(error).startswith("f: ")  # noqa: PT017 - a pickle that is good is good too


@settings(max_examples=300)
@given(st.data())
def test_no_arguments_of_a_known_call_fail_otherwise_than_typed(data: st.DataObject) -> None:
    from deltackpt.formats.pickles.calls import BUILDERS

    values = [b"N", b"\x88", b"K\5", b"J\xff\xff\xff\xff", b")", b"]", b"}", pickle_forge.text("latin1"), b"C\1x"]
    values += [pickle_forge.tensor(), pickle_forge.storage(), pickle_forge.name("torch", "float32"), b"K\5K\6\x86"]
    values += [
        pickle_forge.call(pickle_forge.name("numpy", "dtype"), pickle_forge.text("f4")),
        b"\x8f",
        b"G" + bytes(8),
    ]
    module, _, attribute = data.draw(st.sampled_from(sorted(BUILDERS))).rpartition(".")
    args = data.draw(st.lists(st.sampled_from(values), max_size=8))
    state = data.draw(st.sampled_from([b"", *(value + b"b" for value in values)]))
    read_pickle(pickle_forge.call(pickle_forge.name(module, attribute), *args) + state + b".", 0, "f")
