"""GGUF files as the official library writes them: every tensor is found, typed, and the file comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize
from rebuilding import check_round_trip, contents, typed

from deltackpt import InvalidInputError, Store
from deltackpt.errors import UnsupportedError
from deltackpt.formats.gguf.codes import TENSOR_TYPES
from deltackpt.formats.safetensors import layout
from deltackpt.formats.sniff import read_spans, sniff
from deltackpt.formats.source_file import open_source
from deltackpt.formats.spans import Literal
from deltackpt.tensor.dtype import DTYPES, dtype_named

WEIGHTS = np.random.default_rng(1).standard_normal((24, 512)).astype(np.float32)
WRITABLE = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4", "BF16")
PLAIN = (np.float32, np.float16, np.float64, np.int8, np.int16, np.int32, np.int64)


def finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def written(path: Path, **options: Any) -> Path:
    """A model with metadata of every kind, and a tensor of every type that the library can make."""
    writer = GGUFWriter(path, "llama", **options)
    writer.add_description("a model with a name, π")
    writer.add_token_list([f"token {i}" for i in range(1000)])
    writer.add_token_scores([float(i) for i in range(1000)])
    writer.add_array("ints", [1, 2, 3])
    writer.add_bool("flag", True)
    for kind in PLAIN:
        writer.add_tensor(f"plain.{kind.__name__}", (WEIGHTS[:3, :5] * 20).astype(kind))
    for name in WRITABLE:
        kind = GGMLQuantizationType[name]
        writer.add_tensor(f"blk.0.{name}", quantize(WEIGHTS, kind), raw_dtype=kind)
    finish(writer)
    return path


def test_every_tensor_is_found_with_the_bytes_that_the_library_reads(tmp_path: Path) -> None:
    path = written(tmp_path / "m.gguf")
    ours, theirs = contents(path), GGUFReader(path).tensors
    assert list(ours) == [tensor.name for tensor in theirs]
    for tensor in theirs:
        span, plain = ours[tensor.name]
        assert plain == tensor.data.tobytes()
        assert span.offset == tensor.data_offset
        assert span.dtype is TENSOR_TYPES[tensor.tensor_type]
        values = span.dtype.block_values or 1
        assert (*span.shape[:-1], span.shape[-1] * values) == tuple(reversed(tensor.shape.tolist()))
    assert sum(span.length for span, _ in ours.values()) >= 0.99 * sum(tensor.n_bytes for tensor in theirs)


def test_the_table_is_the_librarys() -> None:
    for kind, (values, nbytes) in GGML_QUANT_SIZES.items():
        dtype = TENSOR_TYPES[kind]
        assert (dtype.block_values or 1, dtype.itemsize) == (values, nbytes)
        if dtype.block_values:
            assert dtype.name == f"gguf.{kind.name.lower()}"
    assert TENSOR_TYPES.keys() == {int(kind) for kind in GGML_QUANT_SIZES}


def test_the_golden_file() -> None:
    from gguf_corpus import GOOD

    assert GOOD[:24].hex(" ") == "47 47 55 46 03 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
    assert len(GOOD) == 68


def test_a_file_comes_back_and_its_blocks_are_read_as_bytes(tmp_path: Path, store: Store) -> None:
    path = written(tmp_path / "m.gguf")
    check_round_trip(store, path)
    raw = next(tensor.data for tensor in GGUFReader(path).tensors if tensor.name == "blk.0.Q4_0")
    tensor = store.reader("main").tensor("blk.0.Q4_0")
    assert (tensor.dtype.name, tensor.shape) == ("gguf.q4_0", (24, 16))
    blocks = tensor[2:4]
    assert tuple(blocks.shape) == (2, 16, 18)
    assert np.array_equal(blocks.numpy().reshape(2, -1), raw[2:4])
    assert tensor.numpy().shape == (24, 16, 18)
    whole = store.load("main")["blk.0.Q4_0"]
    assert np.array_equal(
        dequantize(whole.numpy().reshape(24, -1), GGMLQuantizationType.Q4_0), dequantize(raw, GGMLQuantizationType.Q4_0)
    )


def test_the_kind_of_file_is_kept(tmp_path: Path, store: Store) -> None:
    store.commit_path(written(tmp_path / "m.gguf"))
    assert {row.dtype.name for row in store.inventory("main")} >= {"gguf.q8_0", "bfloat16", "int64"}


def test_a_quantised_step_is_a_small_delta(tmp_path: Path, store: Store) -> None:
    rng = np.random.default_rng(2)
    weights = rng.standard_normal((256, 2048)).astype(np.float32)
    for step in range(2):
        writer = GGUFWriter(path := tmp_path / f"{step}.gguf", "llama")
        moved = weights + step * 1e-4 * rng.standard_normal(weights.shape).astype(np.float32)
        writer.add_tensor("w", quantize(moved, GGMLQuantizationType.Q4_0), raw_dtype=GGMLQuantizationType.Q4_0)
        finish(writer)
        store.commit_path(path, step=step)
    (row,) = store.inventory("main")
    assert row.recipes == {"delta": 1}
    assert row.stored_bytes < 0.1 * row.plain_bytes


def test_blocks_do_not_go_into_safetensors() -> None:
    with pytest.raises(InvalidInputError, match=r"^tensor 'w': safetensors has no gguf\.q4_0; convert it to another"):
        layout([("w", dtype_named("gguf.q4_0"), (2,))])


def test_each_file_of_a_split_model_stands_for_itself(tmp_path: Path, store: Store) -> None:
    written(tmp_path / "m.gguf", split_max_tensors=6)
    parts = sorted(tmp_path.glob("m-0000*-of-0000*.gguf"))
    assert len(parts) == 3
    names = [name for part in parts for name in contents(part)]
    assert sorted(names) == sorted(contents(written(tmp_path / "whole.gguf")))
    check_round_trip(store, parts[1])


def test_a_file_of_metadata_only_is_one_literal(tmp_path: Path) -> None:
    writer = GGUFWriter(path := tmp_path / "vocab.gguf", "llama")
    writer.add_token_list(["a", "b"])
    finish(writer)
    with open_source(str(path)) as file:
        assert read_spans(file) == (Literal(0, path.stat().st_size),)


def test_a_large_alignment_leaves_padding(tmp_path: Path, store: Store) -> None:
    writer = GGUFWriter(path := tmp_path / "m.gguf", "llama")
    writer.add_custom_alignment(4096)
    writer.add_tensor("a", WEIGHTS[:1, :5])
    writer.add_tensor("b", WEIGHTS[:1, :5])
    finish(writer)
    assert [span.offset % 4096 for span, _ in contents(path).values()] == [0, 0]
    check_round_trip(store, path)


def test_a_big_endian_file_is_recognised_and_named(tmp_path: Path) -> None:
    path = written(tmp_path / "m.gguf", endianess=gguf.GGUFEndian.BIG)
    with open_source(str(path)) as file:
        found = sniff(file)
        assert found is not None
        assert found.name == "gguf"
        with pytest.raises(
            UnsupportedError, match="expected a little-endian file; convert it with gguf_convert_endian"
        ):
            read_spans(file)


def test_names_are_distinct_and_types_native(tmp_path: Path) -> None:
    with open_source(str(written(tmp_path / "m.gguf"))) as file:
        found = typed(read_spans(file))
    for kind in PLAIN:
        assert found[f"plain.{kind.__name__}"].dtype is DTYPES[kind.__name__]
