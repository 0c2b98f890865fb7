"""ONNX: the file is the one that the library makes, in one piece or with its data beside; what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import external_data_helper, helper, numpy_helper
from samples import FLOAT8, Plain, plain, read_back, saved

from deltackpt import InvalidInputError, Store
from deltackpt.convert.convert import Conversion, convert_path
from deltackpt.formats.onnx.codes import written_as
from deltackpt.tensor.dtype import DTYPES

TYPES = (
    *("float64", "float32", "float16", "bfloat16", "complex64", "complex128", "bool", *FLOAT8),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)


def made_by_the_library(expected: Plain) -> Any:
    initializers = []
    for name, (dtype, shape, raw) in expected.items():
        number, dims = written_as(DTYPES[dtype], shape) or (0, ())
        initializers.append(helper.make_tensor(name, number, dims, raw, raw=True))
    return helper.make_model(helper.make_graph([], "deltackpt", [], [], initializers), producer_name="deltackpt")


def found(model: Any) -> Plain:
    """What the library finds; the types by the names of NumPy and ml_dtypes."""
    arrays = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    return {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}


def test_the_file_is_the_one_that_the_library_makes(tmp_path: Path) -> None:
    expected = plain(TYPES)
    out = tmp_path / "out.onnx"
    written = convert_path(str(saved(tmp_path / "in.pt", expected)), str(out), Conversion("onnx"))
    assert written == out.stat().st_size
    assert out.read_bytes() == made_by_the_library(expected).SerializeToString()
    assert found(onnx.load(out)) == expected == read_back(out)
    onnx.checker.check_model(str(out))


def test_two_values_in_a_byte(tmp_path: Path) -> None:
    packed = torch.arange(6, dtype=torch.uint8).reshape(2, 3).view(torch.float4_e2m1fn_x2)
    torch.save({"w": packed}, tmp_path / "in.pt")
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.onnx"), Conversion("onnx"))
    (tensor,) = onnx.load(tmp_path / "out.onnx").graph.initializer
    assert (tensor.data_type, list(tensor.dims)) == (onnx.TensorProto.FLOAT4E2M1, [2, 6])
    assert read_back(tmp_path / "out.onnx") == {"w": ("float4_e2m1fn_x2", (2, 3), bytes(range(6)))}


def test_data_in_other_files(store: Store, tmp_path: Path) -> None:
    expected = plain(TYPES) | {"large": ("float32", (3000,), np.arange(3000, dtype=np.float32).tobytes())}
    out = tmp_path / "out"
    source = str(saved(tmp_path / "in.pt", expected))
    written = convert_path(source, str(out), Conversion("onnx", shard_bytes=8192))
    files = {path.name: path for path in out.iterdir()}
    assert sorted(files) == ["model-00001-of-00002.onnx.data", "model-00002-of-00002.onnx.data", "model.onnx"]
    assert written == sum(path.stat().st_size for path in files.values())
    model = onnx.load(out / "model.onnx", load_external_data=False)
    assert all(
        int(entry.value) % 4096 == 0
        for one in model.graph.initializer
        for entry in one.external_data
        if entry.key == "offset"
    )
    external_data_helper.load_external_data_for_model(model, str(out))
    assert found(model) == expected
    onnx.checker.check_model(str(out / "model.onnx"))
    whole = tmp_path / "whole"
    convert_path(source, str(whole), Conversion("onnx", shard_bytes=1 << 30))
    assert sorted(path.name for path in whole.iterdir()) == ["model.onnx", "model.onnx.data"]
    store.commit(out)
    store.checkout("main", tmp_path / "again")
    assert found(onnx.load(tmp_path / "again" / "model.onnx")) == expected


def test_a_model_of_more_than_two_gigabytes_is_a_folder(tmp_path: Path) -> None:
    """Tensors of zeros, which take no room in a sparse file."""
    count, nbytes = 33, 64 << 20
    described = {
        f"w{n}": {"dtype": "U8", "shape": [nbytes], "data_offsets": [n * nbytes, (n + 1) * nbytes]}
        for n in range(count)
    }
    header = json.dumps(described).encode()
    with (tmp_path / "in.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + count * nbytes)
    convert_path(str(tmp_path / "in.safetensors"), str(tmp_path / "out"), Conversion("onnx"))
    data = tmp_path / "out" / "model.onnx.data"
    assert data.stat().st_size == count * nbytes
    data.unlink()
    tensors = onnx.load(tmp_path / "out" / "model.onnx", load_external_data=False).graph.initializer
    told = {one.name: {entry.key: entry.value for entry in one.external_data} for one in tensors}
    expected = {"location": "model.onnx.data", "length": str(nbytes)}
    assert told == {f"w{n}": expected | {"offset": str(n * nbytes)} for n in range(count)}


def test_values_are_a_property(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2), "epoch": 3}, tmp_path / "in.pt")
    for name, conversion in (("out.onnx", Conversion("onnx")), ("out", Conversion("onnx", shard_bytes=100))):
        convert_path(str(tmp_path / "in.pt"), str(tmp_path / name), conversion)
        model = onnx.load(tmp_path / name / "model.onnx" if name == "out" else tmp_path / name)
        assert {one.key: json.loads(one.value) for one in model.metadata_props} == {"deltackpt.values": {"epoch": 3}}


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"w" * 1025: torch.ones(2)}, "the name has 1025 bytes, ONNX takes 1024; shorten it with --rename"),
        (
            {"w": torch.ones(2, dtype=torch.uint8).view(torch.bits8)},
            r"ONNX has no bits8 \[2\]; leave it out with --select",
        ),
        ({"w": torch.zeros((), dtype=torch.uint8).view(torch.float4_e2m1fn_x2)}, "no float4_e2m1fn_x2"),
        ({"w": torch.ones(2), "set": {1, 2}}, "'set': ONNX holds tensors, numbers and texts"),
    ],
)
@pytest.mark.parametrize("shard_bytes", [None, 100])
def test_what_is_refused_before_anything_is_written(
    tmp_path: Path, tensors: dict[str, Any], told: str, shard_bytes: int | None
) -> None:
    torch.save(tensors, tmp_path / "in.pt")
    with pytest.raises(InvalidInputError, match=told):
        convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out"), Conversion("onnx", shard_bytes=shard_bytes))
    assert [path.name for path in tmp_path.iterdir()] == ["in.pt"]
