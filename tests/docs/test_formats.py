"""The matrix of formats on docs/formats.md says what commits and conversions of real files give."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import onnx
import pytest
import torch
import torch.distributed.checkpoint as dcp
import zarr
from safetensors.torch import save_file

from deltackpt import Store
from deltackpt.content.open import open_state
from deltackpt.convert.convert import Conversion, convert_path
from deltackpt.convert.formats import FORMATS

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
TENSORS = {f"layer.{n}.weight": torch.randn(256, 1024, generator=torch.Generator().manual_seed(n)) for n in range(4)}
PLAIN = sum(tensor.numel() * tensor.itemsize for tensor in TENSORS.values())


def sharded(path: Path) -> None:
    save_file(TENSORS, path.with_suffix(".safetensors"))
    convert_path(str(path.with_suffix(".safetensors")), str(path), Conversion("safetensors", shard_bytes=PLAIN // 2))
    path.with_suffix(".safetensors").unlink()


def write_gguf(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    for name, tensor in TENSORS.items():
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_onnx(path: Path) -> None:
    initializers = [onnx.numpy_helper.from_array(tensor.numpy(), name) for name, tensor in TENSORS.items()]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], initializers)), path)


def write_zarr(path: Path) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    for name, tensor in TENSORS.items():
        shape = tuple(tensor.shape)
        group.create_array(name, shape=shape, dtype="float32", chunks=shape, compressors=None)[...] = tensor.numpy()


def write_dcp(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"model": TENSORS}, checkpoint_id=path, no_dist=True)


WRITERS: dict[str, tuple[str | None, Callable[[Path], None]]] = {
    "safetensors": ("safetensors", lambda path: save_file(TENSORS, path)),
    "safetensors, sharded": ("safetensors", sharded),
    "PyTorch": ("pt", lambda path: torch.save(TENSORS, path)),
    "PyTorch before zip": (None, lambda path: torch.save(TENSORS, path, _use_new_zipfile_serialization=False)),
    "NumPy .npz": ("npz", lambda path: np.savez(path.open("wb"), **{k: v.numpy() for k, v in TENSORS.items()})),
    "GGUF": (None, write_gguf),
    "ONNX": (None, write_onnx),
    "zarr 3, not compressed": (None, write_zarr),
    "torch.distributed.checkpoint": (None, write_dcp),
}


def row(store: Store, folder: Path, name: str) -> str:
    """The row of a format: what is true of a file or folder that its own library wrote."""
    written, write = WRITERS[name]
    path, back = folder / "in", folder / "back"
    write(path)
    save_file(TENSORS, folder / "model.safetensors")
    store.commit_path(folder / "model.safetensors", branch="other")
    commit = store.commit_path(path)
    store.checkout("main", back)
    files = [one.relative_to(path) for one in path.rglob("*") if one.is_file()] or [Path()]
    same = all((path / one).read_bytes() == (back / one).read_bytes() for one in files)
    untyped = sum(part.untyped for part in commit.parts)
    typed = 1 - untyped / commit.logical_bytes
    once = commit.stored_bytes < 0.02 * PLAIN
    exact = written in FORMATS and round_trip(path, folder, written)
    cells = (yes(same), f"{int(typed * 1000) / 10:.1f} %", yes(once), yes(written is not None), yes(exact))
    return f"| {name} | {' | '.join(cells)} |"


def round_trip(path: Path, folder: Path, written: str | None) -> bool:
    """Whether what is converted to the format, from what its library wrote, and read again has the same bits."""
    assert written is not None
    convert_path(
        str(path), str(folder / f"out.{written}"), Conversion(written), part="model" if path.is_dir() else None
    )
    found = open_state(folder / f"out.{written}")
    return found.keys() == {*TENSORS} and all(np.array_equal(found[name], TENSORS[name]) for name in TENSORS)


def yes(true: bool) -> str:
    return "yes" if true else "no"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", WRITERS)
def test_the_matrix(store: Store, tmp_path: Path, name: str) -> None:
    (folder := tmp_path / "files").mkdir()
    assert row(store, folder, name) in PAGE.read_text().splitlines()


def test_the_matrix_has_no_other_rows() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in rows] == list(WRITERS)
