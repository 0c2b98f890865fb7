"""PyTorch's file: what PyTorch and Transformers load from what we wrote, in one file and in shards."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from samples import FLOAT8, plain, read_back, saved

from deltackpt import InvalidInputError
from deltackpt.convert.convert import Conversion, convert_path

TYPES = (
    *("float64", "float32", "float16", "bfloat16", "complex64", "complex128", "bool", *FLOAT8),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)


def test_pytorch_loads_every_type_and_shape_as_weights_only(tmp_path: Path) -> None:
    expected = plain(TYPES)
    source, out = saved(tmp_path / "in.pt", expected), tmp_path / "out.pt"
    assert convert_path(str(source), str(out), Conversion("pt")) == out.stat().st_size
    original = torch.load(source, weights_only=True)
    for loaded in (torch.load(out, weights_only=True), torch.load(out, weights_only=True, mmap=True)):
        assert list(loaded) == list(expected)
        for name, (dtype, shape, raw) in expected.items():
            one = loaded[name]
            assert (one.dtype, tuple(one.shape)) == (getattr(torch, dtype), shape)
            assert (one.stride(), one.requires_grad) == (original[name].stride(), False)
            assert bytes(one.contiguous().untyped_storage()) == raw
    assert read_back(out) == expected


def test_the_archive_is_sound_and_its_tensors_are_aligned(tmp_path: Path) -> None:
    out = tmp_path / "out.pt"
    convert_path(str(saved(tmp_path / "in.pt", plain(TYPES))), str(out), Conversion("pt"))
    raw = out.read_bytes()
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert archive.read("archive/version") == b"3\n"
        for entry in archive.infolist():
            name, extra = (int.from_bytes(raw[entry.header_offset + at :][:2], "little") for at in (26, 28))
            assert (entry.header_offset + 30 + name + extra) % 64 == 0


def test_a_tensor_whose_size_takes_64_bits(tmp_path: Path) -> None:
    """Of zeros, which take no room in a sparse file."""
    nbytes = 5 << 28
    header = json.dumps({"w": {"dtype": "U8", "shape": [nbytes], "data_offsets": [0, nbytes]}}).encode()
    with (tmp_path / "in.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + nbytes)
    convert_path(str(tmp_path / "in.safetensors"), str(tmp_path / "out.pt"), Conversion("pt"))
    loaded = torch.load(tmp_path / "out.pt", weights_only=True, mmap=True)["w"]
    assert (loaded.shape, loaded.untyped_storage().data_ptr() % 64) == ((nbytes,), 0)
    (tmp_path / "out.pt").unlink()


def test_shards_are_named_and_listed_as_transformers_does(tmp_path: Path) -> None:
    tensors = {f"layer.{n}.weight": torch.full((64,), float(n)) for n in range(5)}
    torch.save(tensors, tmp_path / "in.pt")
    written = convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out"), Conversion("pt", shard_bytes=512))
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    shards = [f"pytorch_model-{n:05d}-of-00003.bin" for n in (1, 2, 3)]
    assert files == [*shards, "pytorch_model.bin.index.json"]
    assert written == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    index = json.loads((tmp_path / "out" / "pytorch_model.bin.index.json").read_text())
    assert index["metadata"] == {"total_size": 5 * 256}
    assert index["weight_map"] == {f"layer.{n}.weight": shards[n // 2] for n in range(5)}
    loaded = {name: one for shard in shards for name, one in torch.load(tmp_path / "out" / shard).items()}
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "one"), Conversion("pt", shard_bytes=10**6))
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["pytorch_model.bin"]


def test_transformers_loads_shards(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "run")
    source = str(tmp_path / "run" / "model.safetensors")
    convert_path(source, str(tmp_path / "out"), Conversion("pt", shard_bytes=8000))
    config.save_pretrained(tmp_path / "out")
    loaded = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[name], one) for name, one in model.state_dict().items())


def test_shards_hold_tensors_only(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2), "epoch": 3}, tmp_path / "in.pt")
    with pytest.raises(InvalidInputError, match="'epoch': a PyTorch file in shards holds tensors only"):
        convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out"), Conversion("pt", shard_bytes=100))
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out"), Conversion("pt", shard_bytes=100, lossy=True))
    assert torch.load(tmp_path / "out" / "pytorch_model.bin").keys() == {"w"}
