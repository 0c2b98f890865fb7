"""GGUF: what its own library reads from what we wrote; blocks and keys of another GGUF file; what is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import quantize
from safetensors.torch import save_file
from samples import plain, read_back, saved

from deltackpt import InvalidInputError, Store
from deltackpt.convert.changes import Changes, Renaming
from deltackpt.convert.convert import Conversion, convert_path

TYPES = ("float32", "float16", "float64", "bfloat16", "int8", "int16", "int32", "int64")
BLOCKS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4")
WEIGHTS = np.random.default_rng(1).standard_normal((6, 4, 512)).astype(np.float32)


def quantised(path: Path, architecture: str = "gemma3", **strings: str) -> Path:
    """A model with keys of every kind, its tensors at multiples of 64, and one of each type of blocks."""
    writer = GGUFWriter(path, architecture)
    writer.add_custom_alignment(64)
    writer.add_token_list(["a", "π", ""])
    writer.add_token_scores([0.1, -1.5, float("inf")])
    for method in (writer.add_uint8, writer.add_int8, writer.add_uint16, writer.add_int16, writer.add_uint32):
        method(f"n.{method.__name__}", 7)
    for method in (writer.add_int32, writer.add_uint64, writer.add_int64):
        method(f"n.{method.__name__}", 7)
    writer.add_float32("float", 0.1)
    writer.add_float64("double", 0.1)
    writer.add_bool("flag", True)
    for key, text in strings.items():
        writer.add_string(key, text)
    for name in BLOCKS:
        kind = GGMLQuantizationType[name]
        writer.add_tensor(f"blk.{name}", quantize(WEIGHTS, kind), raw_dtype=kind)
    writer.add_tensor("norm", WEIGHTS[0, 0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def keys(path: Path) -> dict[str, tuple[Any, ...]]:
    """All keys with types and bytes, as the library reads them."""
    fields = GGUFReader(path).fields.items()
    return {
        key: (tuple(field.types), b"".join(part.tobytes() for part in field.parts[2:]))
        for key, field in fields
        if not key.startswith("GGUF.")
    }


def tensors(path: Path) -> dict[str, tuple[Any, ...]]:
    found = GGUFReader(path).tensors
    return {one.name: (one.tensor_type.name, one.shape.tolist(), one.data.tobytes()) for one in found}


def test_shards_are_those_of_llama_cpp(tmp_path: Path) -> None:
    source, out = quantised(tmp_path / "in.gguf", strings="a"), tmp_path / "out"
    whole, total = tensors(source), sum(len(raw) for *_, raw in tensors(source).values())
    written = convert_path(str(source), str(out), Conversion("gguf", shard_bytes=total // 3))
    files = sorted(out.iterdir())
    assert [path.name for path in files] == [
        f"model-{n:05d}-of-{len(files):05d}.gguf" for n in range(1, len(files) + 1)
    ]
    assert len(files) >= 3
    assert written == sum(path.stat().st_size for path in files)
    assert {name: one for path in files for name, one in tensors(path).items()} == whole
    for number, path in enumerate(files):
        told = {key: field.contents() for key, field in GGUFReader(path).fields.items() if key.startswith("split.")}
        assert told == {"split.no": number, "split.count": len(files), "split.tensors.count": len(whole)}
    own = keys(source)
    own.pop("general.alignment")
    assert {key: value for key, value in keys(files[0]).items() if not key.startswith("split.")} == own
    convert_path(str(out), str(tmp_path / "again.gguf"), Conversion("gguf"), part="model")
    assert tensors(tmp_path / "again.gguf") == whole
    assert keys(tmp_path / "again.gguf") == own
    convert_path(str(source), str(tmp_path / "one"), Conversion("gguf", shard_bytes=10**9))
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["model.gguf"]


def test_every_type_and_shape_is_read_by_the_library(tmp_path: Path) -> None:
    expected = plain(TYPES)
    out = tmp_path / "out.gguf"
    written = convert_path(str(saved(tmp_path / "in.pt", expected)), str(out), Conversion("gguf"))
    assert written == out.stat().st_size
    assert read_back(out) == expected
    found = GGUFReader(out).tensors
    assert [one.name for one in found] == list(expected)
    for one in found:
        _, shape, raw = expected[one.name]
        assert (one.shape.tolist()[::-1], one.data.tobytes()) == (list(shape), raw)
    assert {one.name: one.tensor_type.name for one in found if one.name.startswith("type/")} == {
        f"type/{name}": code
        for name, code in zip(TYPES, ("F32", "F16", "F64", "BF16", "I8", "I16", "I32", "I64"), strict=True)
    }


@pytest.mark.parametrize("stored", [False, True])
def test_blocks_and_keys_of_another_file_are_taken_over(store: Store, tmp_path: Path, stored: bool) -> None:
    source, out = quantised(tmp_path / "in.gguf"), tmp_path / "out.gguf"
    conversion = Conversion("gguf", Changes("blk.*", (Renaming.of("^blk=>b"),), "bf16"))
    if stored:
        store.commit(source)
        store.export("main", out, conversion)
    else:
        convert_path(str(source), str(out), conversion)
    assert keys(out) == keys(source)
    assert tensors(out) == {f"b{name[3:]}": form for name, form in tensors(source).items() if name != "norm"}
    assert all(one.data_offset % 64 == 0 for one in GGUFReader(out).tensors)


def test_the_whole_of_another_file_is_the_same_file(tmp_path: Path) -> None:
    source = quantised(tmp_path / "in.gguf")
    convert_path(str(source), str(tmp_path / "out.gguf"), Conversion("gguf"))
    assert (tmp_path / "out.gguf").read_bytes() == source.read_bytes()


def test_an_empty_array_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = quantised(tmp_path / "in.gguf")
    raw = source.read_bytes()
    # A key of 64 bytes with its value, an array (9) of nothing (4): tensors stay at multiples of 64.
    key = b"none" * 10
    entry = struct.pack(f"<Q{len(key)}sIIQ", len(key), key, 9, 4, 0)
    (count,) = struct.unpack_from("<Q", raw, 16)
    source.write_bytes(raw[:16] + struct.pack("<Q", count + 1) + entry + raw[24:])
    convert_path(str(source), str(tmp_path / "out.gguf"), Conversion("gguf"))
    assert f"key {key.decode()!r} is an empty array" in caplog.text
    assert (tmp_path / "out.gguf").read_bytes() == raw


def test_shards_become_one_file_and_models_that_differ_are_refused(store: Store, tmp_path: Path) -> None:
    (folder := tmp_path / "shards").mkdir()
    writer = GGUFWriter(folder / "m.gguf", "llama", split_max_tensors=1)
    for name in ("a", "b"):
        writer.add_tensor(name, WEIGHTS[0])
    writer.add_name("in two")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert len(list(folder.iterdir())) == 2
    store.commit(folder)
    store.export("main", tmp_path / "stored.gguf", Conversion("gguf", Changes(renamings=(Renaming.of(".*/=>"),))))
    assert set(tensors(tmp_path / "stored.gguf")) == {"a", "b"}
    assert set(keys(tmp_path / "stored.gguf")) == {"general.architecture", "general.name"}
    quantised(folder / "other.gguf", "gpt2")
    with pytest.raises(InvalidInputError, match=r"differ in key 'general\.architecture'; convert one file by itself"):
        convert_path(str(folder), str(tmp_path / "both.gguf"), Conversion("gguf"))


def test_the_architecture_of_other_models(store: Store, tmp_path: Path) -> None:
    def architecture(path: Path) -> str:
        return str(GGUFReader(path).get_field("general.architecture").contents())

    weights = {"w": torch.ones(3)}
    (folder := tmp_path / "folder").mkdir()
    save_file(weights, folder / "model.safetensors")
    convert_path(str(folder), str(tmp_path / "unknown.gguf"), Conversion("gguf"), part="model")
    assert architecture(tmp_path / "unknown.gguf") == "unknown"
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3"}))
    # A file that is no part of the model says nothing about it.
    quantised(folder / "vision.gguf", "clip")
    convert_path(str(folder), str(tmp_path / "told.gguf"), Conversion("gguf"), part="model")
    store.commit(folder)
    store.export("main", tmp_path / "stored.gguf", Conversion("gguf"), part="model")
    store.commit({"model": weights}, config={"model_type": "gpt2"}, branch="live")
    store.export("live", tmp_path / "live.gguf", Conversion("gguf"), part="model")
    assert [architecture(tmp_path / f"{name}.gguf") for name in ("told", "stored", "live")] == [
        "qwen3",
        "qwen3",
        "gpt2",
    ]


def test_values_are_a_key(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2), "epoch": 3, "name": "run"}, tmp_path / "in.pt")
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.gguf"), Conversion("gguf"))
    told = GGUFReader(tmp_path / "out.gguf").get_field("deltackpt.values").contents()
    assert json.loads(told) == {"epoch": 3, "name": "run"}
    convert_path(str(tmp_path / "out.gguf"), str(tmp_path / "again.gguf"), Conversion("gguf"))
    assert (tmp_path / "again.gguf").read_bytes() == (tmp_path / "out.gguf").read_bytes()


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"w" * 64: torch.ones(2)}, "the name has 64 bytes, GGUF takes 63; shorten it with --rename"),
        ({"π" * 32: torch.ones(2)}, "the name has 64 bytes"),
        ({"": torch.ones(2)}, "has no name, which .* needs; give it one with --rename"),
        ({"w": torch.ones(1, 1, 1, 1, 2)}, "has 5 dimensions, GGUF has 4 at most"),
        ({"w": torch.ones(2, dtype=torch.complex64)}, "GGUF has no complex64; leave it out with --select"),
        ({"w": torch.ones(2, dtype=torch.bool)}, "GGUF has no bool"),
        ({"w": torch.ones(2, dtype=torch.uint8)}, "GGUF has no uint8"),
        ({"w": torch.ones(2), "set": {1, 2}}, "'set': GGUF holds tensors, numbers and texts"),
    ],
)
def test_what_is_refused_before_anything_is_written(tmp_path: Path, tensors: dict[str, Any], told: str) -> None:
    torch.save(tensors, tmp_path / "in.pt")
    with pytest.raises(InvalidInputError, match=told):
        convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.gguf"), Conversion("gguf"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.pt"]


@pytest.mark.parametrize("format", ["safetensors", "pt", "npz", "onnx", "zarr"])
def test_no_other_format_takes_blocks(tmp_path: Path, format: str) -> None:
    source = quantised(tmp_path / "in.gguf")
    with pytest.raises(InvalidInputError, match=r"is quantised \(gguf.q4_0\), which only GGUF holds"):
        convert_path(str(source), str(tmp_path / "out"), Conversion(format))
