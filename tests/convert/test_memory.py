"""Memory stays near the largest tensor, whatever is converted, from where and to what."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import peak_memory
import pytest
import torch
import zarr
from safetensors.torch import save_file

from deltackpt import Store

TENSOR_MIB = 16
COUNT = 8

pytestmark = pytest.mark.skipif(not peak_memory.CLEAR.exists(), reason="the peak is measured as Linux tells it")


def model(folder: Path, count: int, mib: int) -> Path:
    """Float32 tensors of so many MiB each, as a tool saves them for Transformers."""
    folder.mkdir()
    save_file({f"w{n}": torch.randn(mib, 1 << 18) for n in range(count)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def stored(folder: Path, count: int, mib: int) -> Path:
    store = Store.init(folder)
    store.commit_path(model(folder.with_name(f"{folder.name}-model"), count, mib))
    return folder


def saved(path: Path, count: int, mib: int) -> Path:
    torch.save({f"w{n}": torch.randn(mib, 1 << 18) for n in range(count)}, path)
    return path


def turned(path: Path, count: int, mib: int) -> Path:
    """Tensors that do not lie in C order."""
    torch.save({f"w{n}": torch.randn(1 << 18, mib).t() for n in range(count)}, path)
    return path


def chunked(path: Path, count: int, mib: int) -> Path:
    """Arrays of zarr, each in many files."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    for n in range(count):
        array = torch.randn(mib, 1 << 18).numpy()
        group.create_array(f"w{n}", data=array, chunks=(1, 1 << 16), compressors=None)
    return path


def raised(make: Callable[[Path, int, int], Path], tmp_path: Path, *conversion: str) -> int:
    """By how many MiB the peak rises."""
    source, small = make(tmp_path / "in", COUNT, TENSOR_MIB), make(tmp_path / "small", 2, 1)
    command = [sys.executable, peak_memory.__file__, str(source), str(small), str(tmp_path / "out"), *conversion]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("format", ["safetensors", "pt", "gguf", "onnx", "zarr", "npz", "hf"])
def test_every_writer(tmp_path: Path, format: str) -> None:
    assert raised(model, tmp_path, format) < 3 * TENSOR_MIB


@pytest.mark.parametrize("format", ["safetensors", "pt", "gguf", "onnx", "hf"])
def test_shards_of_many_tensors(tmp_path: Path, format: str) -> None:
    assert raised(model, tmp_path, format, str((4 * TENSOR_MIB) << 20)) < 3 * TENSOR_MIB


@pytest.mark.parametrize("format", ["safetensors", "pt", "npz", "hf"])
def test_from_a_store(tmp_path: Path, format: str) -> None:
    assert raised(stored, tmp_path, format) < 6 * TENSOR_MIB


@pytest.mark.parametrize("make", [saved, turned, chunked])
def test_from_files_whose_tensors_lie_otherwise(tmp_path: Path, make: Callable[[Path, int, int], Path]) -> None:
    assert raised(make, tmp_path, "pt") < 4 * TENSOR_MIB
