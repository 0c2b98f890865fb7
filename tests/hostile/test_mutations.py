"""Files damaged at random: each is refused with a typed error, or tiled."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import dcp_folders
import gguf_corpus as gg
import onnx_corpus as ox
import pytest
import tensorflow_corpus as tf
import zarr_corpus as za
from folders import reading_of
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import flipped, mutated, read_or_refused
from onnx_external_corpus import external

from deltackpt.errors import FormatError
from deltackpt.formats import gguf, onnx
from deltackpt.formats.spans import TensorSpan

GGUF = (
    gg.GOOD,
    gg.gguf(
        [gg.NAME, gg.key(b"general.alignment", gg.U32, gg.u32(64))],
        [gg.ONE, gg.info(b"q", [32, 2], 2, 64)],
        bytes(100),
        alignment=64,
    ),
    gg.gguf(
        [gg.key(b"k", gg.ARRAY, gg.array(gg.TEXT, 2, gg.text(b"x") + gg.text(b"yz")))],
        [gg.info(b"a", [2, 3], 30)],
        gg.DATA * 3,
        version=2,
    ),
)
ONNX = (
    ox.GOOD,
    ox.model(ox.nested(2, ox.initializer(ox.raw())) + ox.initializer(ox.block(4, ox.DATA), name="b")),
    ox.model(external(location="w", offset="8") + external("b", location="w")),
)
READERS = {"gguf": gguf.read_spans, "onnx": onnx.read_spans}
SEEDS = {"gguf": GGUF, "onnx": ONNX}
MUTANTS = st.one_of(*(st.tuples(st.just(name), mutated(seeds)) for name, seeds in SEEDS.items()))

# The files of a folder whose index is damaged, and which that is.
FOLDERS = (
    (tf.folder(tf.GOOD), "c.index"),
    (za.array(), "w/zarr.json"),
    (za.array_2(), "w/.zarray"),
    ({"m.onnx": ONNX[2], "w": bytes(16)}, "m.onnx"),
    (za.shards(za.index_of((0, 16), (16, 16))), "w/c/0/0"),
    (dcp_folders.smallest(), ".metadata"),
    ({"m.index.json": b'{"metadata": {}, "weight_map": {"w": "a", "v": "below/b"}}'}, "m.index.json"),
)
BROKEN_FOLDERS = st.one_of(*(st.tuples(st.just((files, index)), mutated([files[index]])) for files, index in FOLDERS))

thorough = settings(max_examples=100_000, derandomize=False)


def check_file(mutant: tuple[str, bytes]) -> None:
    name, raw = mutant
    read_or_refused(READERS[name], raw)


def check_folder(mutant: tuple[tuple[dict[str, bytes], str], bytes]) -> None:
    """Either the index is refused, with the files as they are, or each file is tiled."""
    (files, index), raw = mutant
    with tempfile.TemporaryDirectory() as name:
        for path, content in {**files, index: raw}.items():
            (target := Path(name, path)).parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        reading = reading_of(Path(name))
    assert not (reading.refusals and reading.files)
    for error in reading.refusals.values():
        assert isinstance(error, FormatError)
        assert str(error).isprintable()


@settings(max_examples=2000)
@given(MUTANTS)
def test_mutants_are_refused_or_tiled(mutant: tuple[str, bytes]) -> None:
    check_file(mutant)


@settings(max_examples=1000)
@given(BROKEN_FOLDERS)
def test_folders_with_a_mutant_are_refused_or_tiled(mutant: tuple[tuple[dict[str, bytes], str], bytes]) -> None:
    check_folder(mutant)


@pytest.mark.campaign
@thorough
@given(MUTANTS)
def test_many_mutants(mutant: tuple[str, bytes]) -> None:
    check_file(mutant)


@pytest.mark.campaign
@thorough
@given(BROKEN_FOLDERS)
def test_many_folders_with_a_mutant(mutant: tuple[tuple[dict[str, bytes], str], bytes]) -> None:
    check_folder(mutant)


@pytest.mark.parametrize("raw", GGUF)
def test_every_truncation_of_gguf_is_refused(raw: bytes) -> None:
    assert read_or_refused(gguf.read_spans, raw) is not None
    for size in range(len(raw)):
        assert read_or_refused(gguf.read_spans, raw[:size]) is None


@pytest.mark.parametrize("raw", ONNX)
def test_every_truncation_of_a_model_within_its_graph_is_refused(raw: bytes) -> None:
    assert read_or_refused(onnx.read_spans, raw) is not None
    for size in range(len(ox.HEAD) + 1, len(raw)):
        assert read_or_refused(onnx.read_spans, raw[:size]) is None


@pytest.mark.parametrize(("files", "index"), FOLDERS[:1] + FOLDERS[3:])
def test_every_truncation_of_an_index_is_refused_or_describes_nothing(files: dict[str, bytes], index: str) -> None:
    for size in range(len(files[index])):
        check_folder(((files, index), files[index][:size]))


@pytest.mark.parametrize(("read", "raw"), [(READERS[name], raw) for name, seeds in SEEDS.items() for raw in seeds])
def test_every_bit_flip_is_refused_or_tiled(read: Callable[..., tuple[object, ...]], raw: bytes) -> None:
    for mutant in flipped(raw):
        read_or_refused(read, mutant)  # type: ignore[arg-type]


def test_every_bit_flip_of_an_index_is_noticed_or_of_no_account() -> None:
    """Checksums cover the blocks; what is left is the footer, of which one handle and the padding mean nothing here."""
    files = tf.folder(tf.GOOD)
    for at, mutant in enumerate(flipped(tf.GOOD)):
        with tempfile.TemporaryDirectory() as name:
            for path, content in {**files, "c.index": mutant}.items():
                Path(name, path).write_bytes(content)
            reading = reading_of(Path(name))
        if at // 8 < len(tf.GOOD) - 48:
            assert reading.refusals
        for file in reading.files.values():
            assert [span.name for span in file.spans if isinstance(span, TensorSpan)] == ["a"]
