"""TensorFlow: what it reads from what deltackpt wrote, in an environment that has it; what is refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import peak_memory
import pytest
import torch
from environments import TENSORFLOW
from safetensors.torch import save_file
from samples import Plain, plain, read_back, saved

from deltackpt import Store
from deltackpt.convert.convert import Conversion, convert_path
from deltackpt.errors import InvalidInputError, UnsupportedError

READ = Path(__file__).parents[1] / "formats" / "read_tensorflow.py"
TYPES = (
    *("float64", "float32", "float16", "bfloat16", "complex64", "complex128", "bool"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)


def found(*paths: Path) -> list[Plain]:
    """What TensorFlow finds in the newest checkpoint of each folder."""
    told = map(json.loads, TENSORFLOW.run(READ, *paths).splitlines())
    return [
        {name: (kind, tuple(shape), bytes.fromhex(raw)) for name, (kind, shape, raw) in one.items()} for one in told
    ]


@TENSORFLOW.wanted
def test_every_type_and_shape_is_read_by_tensorflow(store: Store, tmp_path: Path) -> None:
    expected = plain(TYPES)
    TENSORFLOW.run(
        *("-m", "deltackpt", "convert", saved(tmp_path / "in.pt", expected), tmp_path / "out", "--format", "tf")
    )
    assert read_back(tmp_path / "out", "model") == expected
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("checkpoint", "model.data-00000-of-00001", "model.index"),
    ]
    store.commit(tmp_path / "out")
    store.checkout("main", tmp_path / "again")
    assert found(tmp_path / "out", tmp_path / "again") == [expected] * 2


@TENSORFLOW.wanted
def test_a_commit_is_written_in_shards(store: Store, tmp_path: Path) -> None:
    tensors = {f"w{n}": torch.randn(5 << 20) for n in range(5)}
    save_file(tensors, tmp_path / "in.safetensors")
    store.commit(tmp_path / "in.safetensors")
    arguments = ("-m", "deltackpt", "--store", store.path, "checkout", "main", "-o", tmp_path / "out", "--format", "tf")
    TENSORFLOW.run(*arguments)
    shards = sorted(path.name for path in (tmp_path / "out").glob("model.data-*"))
    assert shards == ["model.data-00000-of-00002", "model.data-00001-of-00002"]
    (read,) = found(tmp_path / "out")
    assert {name: raw for name, (_, _, raw) in read.items()} == {
        name: tensor.numpy().tobytes() for name, tensor in tensors.items()
    }


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"w": torch.ones(2), "epoch": 3}, "a TensorFlow checkpoint holds tensors only"),
        (
            {"w": torch.ones(2, dtype=torch.uint8).view(torch.bits8)},
            "TensorFlow has no bits8; leave it out with --select",
        ),
        ({"": torch.ones(2)}, "a tensor has no name, which TensorFlow needs; give it one with --rename"),
    ],
)
def test_what_is_refused_before_anything_is_written(tmp_path: Path, tensors: dict[str, Any], told: str) -> None:
    """Nor is the library needed for that."""
    torch.save(tensors, tmp_path / "in.pt")
    with pytest.raises(InvalidInputError, match=told):
        convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out"), Conversion("tf"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.pt"]


@TENSORFLOW.wanted
@pytest.mark.skipif(not peak_memory.CLEAR.exists(), reason="the peak is measured as Linux tells it")
def test_memory_stays_at_one_shard(tmp_path: Path) -> None:
    save_file({f"w{n}": torch.randn(4 << 20) for n in range(24)}, tmp_path / "in.safetensors")
    save_file({"w": torch.randn(4)}, tmp_path / "small.safetensors")
    paths = (tmp_path / "in.safetensors", tmp_path / "small.safetensors", tmp_path / "out")
    arguments = (peak_memory.__file__, *map(str, paths), "tf")
    # 24 tensors of 16 MiB each; a shard has 64, read and copied.
    assert int(TENSORFLOW.run(*arguments)) < 200


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is here")
def test_without_the_library_the_extra_is_named(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "in.pt")
    with pytest.raises(UnsupportedError, match=r"needs tensorflow; install deltackpt\[tensorflow\]"):
        convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out"), Conversion("tf"))
    assert not (tmp_path / "out").exists()
