"""The keys of damaged and hostile GGUF files, which a conversion takes over: a typed error, or values."""

from __future__ import annotations

import tempfile
import tracemalloc
from pathlib import Path

import gguf_corpus as gg
import pytest
from hypothesis import given, settings
from mutants import mutated
from patience import ends

from deltackpt.errors import FormatError, LimitError, UnsupportedError
from deltackpt.formats.gguf.values import Value, read_keys
from deltackpt.formats.source_file import SourceFile, open_source

SEEDS = (
    gg.GOOD,
    gg.gguf([gg.key(b"k", gg.ARRAY, gg.array(gg.TEXT, 2, gg.text(b"x") + gg.text(b"yz"))), gg.NAME]),
    gg.gguf([gg.key(b"n", gg.ARRAY, gg.array(gg.F32, 3, bytes(12))), gg.key(b"u", gg.U64, gg.u64(7))]),
)


def keys_of(raw: bytes) -> dict[str, Value] | None:
    """None for a typed error."""
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        try:
            return dict(read_keys(SourceFile.of(file.fileno(), "m")))
        except FormatError:
            return None


@settings(max_examples=500)
@given(mutated(SEEDS))
def test_mutants(raw: bytes) -> None:
    keys_of(raw)


@ends
@pytest.mark.parametrize("raw", [pytest.param(case.raw, id=ascii(case.label)) for case in gg.damaged()])
def test_the_corpus(raw: bytes) -> None:
    keys_of(raw)


def test_values_are_what_the_file_has() -> None:
    assert keys_of(SEEDS[1]) == {"k": Value(gg.ARRAY, [b"x", b"yz"], gg.TEXT), **(keys_of(gg.gguf([gg.NAME])) or {})}
    assert keys_of(SEEDS[2]) == {"n": Value(gg.ARRAY, [0.0] * 3, gg.F32), "u": Value(gg.U64, 7)}


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (gg.array(gg.TEXT, 1 << 60), LimitError),
        (gg.array(gg.U8, (1 << 22) + 1), LimitError),
        (gg.array(gg.U64, 1 << 22), FormatError),
        (gg.array(gg.ARRAY, 1, gg.array(gg.U8, 1, b"x")), UnsupportedError),
    ],
)
def test_lengths_are_not_believed(tmp_path: Path, value: bytes, error: type[FormatError]) -> None:
    (path := tmp_path / "m").write_bytes(gg.gguf([gg.key(b"k", gg.ARRAY, value)]))
    tracemalloc.start()
    with open_source(str(path)) as file, pytest.raises(error):
        read_keys(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
