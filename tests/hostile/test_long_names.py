"""Names of ten megabytes in files of every format: read in memory of a few times their size, and kept as they are."""

from __future__ import annotations

import io
import json
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorflow_corpus
import torch
import torch.distributed.checkpoint as dcp
from gguf_corpus import DATA, gguf, info
from onnx import helper, numpy_helper
from safetensors.numpy import save
from sstable_bytes import index, tensor
from trees import listed
from zarr_corpus import array

from deltackpt import Store
from deltackpt.content.path import path_content

LONG = "n" * 10_000_000
ARRAY = np.arange(4, dtype=np.float32)
MEGABYTES = 80
"""Eight times the name."""


def pytorch(state: object, **options: bool) -> bytes:
    torch.save(state, buffer := io.BytesIO(), **options)
    return buffer.getvalue()


def model(initializer: onnx.TensorProto, node: list[onnx.NodeProto]) -> bytes:
    return helper.make_model(helper.make_graph(node, "g", [], [], [initializer])).SerializeToString()


def elsewhere() -> onnx.TensorProto:
    """A tensor in another file that has the long name."""
    held = numpy_helper.from_array(ARRAY, "w")
    held.ClearField("raw_data")
    held.data_location = onnx.TensorProto.EXTERNAL
    held.external_data.add(key="location", value=LONG)
    return held


def npz() -> bytes:
    """A name as long as a zip archive can have one."""
    np.savez(buffer := io.BytesIO(), **{"n" * 65_531: ARRAY})
    return buffer.getvalue()


def dcp_folder() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({LONG: torch.from_numpy(ARRAY)}, checkpoint_id=folder, no_dist=True)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


FILES: dict[str, Callable[[], dict[str, bytes]]] = {
    "safetensors": lambda: {"m.safetensors": save({LONG: ARRAY})},
    "pytorch": lambda: {"m.pt": pytorch({LONG: torch.from_numpy(ARRAY)})},
    "pytorch before zip": lambda: {
        "m.pt": pytorch({LONG: torch.from_numpy(ARRAY)}, _use_new_zipfile_serialization=False)
    },
    "pytorch, nested": lambda: {"m.pt": pytorch({"model": {LONG: {LONG: torch.from_numpy(ARRAY)}}})},
    "gguf": lambda: {"m.gguf": gguf([], [info(LONG.encode(), [1])], DATA)},
    "onnx": lambda: {"m.onnx": model(numpy_helper.from_array(ARRAY, LONG), [])},
    "onnx, a node": lambda: {
        "m.onnx": model(
            numpy_helper.from_array(ARRAY, "w"),
            [helper.make_node("Constant", [], [LONG], value=numpy_helper.from_array(ARRAY))],
        )
    },
    "onnx, a location": lambda: {"m.onnx": model(elsewhere(), [])},
    "npz": lambda: {"m.npz": npz()},
    "zarr, a type": lambda: array(data_type=LONG),
    "zarr, a codec": lambda: array(codecs=[{"name": LONG}]),
    "zarr, a separator": lambda: array(chunk_key_encoding={"name": "default", "configuration": {"separator": LONG}}),
    "tensorflow": lambda: tensorflow_corpus.folder(index((LONG.encode(), tensor()))),
    "dcp": dcp_folder,
    "shard index": lambda: {"m.safetensors.index.json": json.dumps({"weight_map": {LONG: LONG}}).encode()},
}


@pytest.fixture(params=FILES.values(), ids=list(FILES))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for path, raw in request.param().items():
        (target := tmp_path / "c" / path).parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(raw)
    return tmp_path / "c"


def test_a_long_name_costs_little_and_the_file_is_kept(folder: Path, store: Store) -> None:
    tracemalloc.start()
    try:
        with path_content(str(folder)) as content:
            _, peak = tracemalloc.get_traced_memory()
            said = [str(warning) for warning in content.warnings]
            named = [tensor.name for part in content.parts for tensor in part.tensors]
    finally:
        tracemalloc.stop()
    assert peak < MEGABYTES << 20
    assert all(len(one) < 700 and one.isprintable() for one in said)
    assert all(len(name) < 70_000 for name in named)
    store.commit_path(folder)
    store.checkout("main", back := folder.with_name("back"))
    assert listed(back) == listed(folder)
