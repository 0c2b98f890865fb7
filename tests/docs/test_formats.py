"""The matrix of formats on docs/formats.md says what commits and conversions of real files give."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy
import onnx
import pytest
import torch
import torch.distributed.checkpoint as dcp
import zarr
from costs import committed
from environments import ROOT, TENSORFLOW
from safetensors.torch import save_file
from tool_folders import TOOLS, written
from trees import listed

from deltackpt import Store
from deltackpt.convert.convert import Conversion, convert_path
from deltackpt.convert.of_path import state_of_path

PAGE = ROOT / "docs" / "formats.md"
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


def write_npz(path: Path) -> None:
    numpy.savez(path.open("wb"), **{name: tensor.numpy() for name, tensor in TENSORS.items()})


def write_tensorflow(path: Path) -> None:
    path.mkdir()
    write_npz(arrays := path.with_name("arrays.npz"))
    TENSORFLOW.run(ROOT / "tests/formats/write_tensorflow.py", arrays, path / "model")


WRITERS: dict[str, tuple[str | None, Callable[[Path], None]]] = {
    "safetensors": ("safetensors", lambda path: save_file(TENSORS, path)),
    "safetensors, sharded": ("safetensors", sharded),
    "PyTorch": ("pt", lambda path: torch.save(TENSORS, path)),
    "PyTorch before zip": (None, lambda path: torch.save(TENSORS, path, _use_new_zipfile_serialization=False)),
    "NumPy .npz": ("npz", write_npz),
    "GGUF": ("gguf", write_gguf),
    "ONNX": ("onnx", write_onnx),
    "zarr 3, not compressed": ("zarr", write_zarr),
    "TensorFlow": ("tf", write_tensorflow),
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
    exact = written is not None and round_trip(path, folder, written)
    cells = (yes(same), share(typed), yes(once), yes(written is not None), yes(exact))
    return f"| {name} | {' | '.join(cells)} |"


def round_trip(path: Path, folder: Path, written: str) -> bool:
    """Whether what is converted to the format, from what its library wrote, and read again has the same bits."""
    out = folder / f"out.{written}"
    if written == "tf":
        TENSORFLOW.run("-m", "deltackpt", "convert", path, out, "--format", "tf", "--part", "model")
    else:
        convert_path(str(path), str(out), Conversion(written), part=part_of(path))
    with state_of_path(str(out), part_of(out)) as state:
        found = {one.name: (one.dtype.name, one.shape, bytes(one.read())) for one in state.tensors}
    return found == {name: ("float32", tuple(one.shape), one.numpy().tobytes()) for name, one in TENSORS.items()}


def part_of(path: Path) -> str | None:
    """The part of a folder that holds its model."""
    return "model" if any(path.glob("model*")) else None


def share(typed: float) -> str:
    return f"{int(typed * 1000) / 10:.1f} %"


def yes(true: bool) -> str:
    return "yes" if true else "no"


def folder_row(folder: Path, name: str) -> str:
    """The row of a training tool: what is true of two checkpoints of a real run."""
    tool = TOOLS[name]
    paths = written(tool, folder / "run")
    with Store.init(folder / "store") as store:
        commits = [store.commit_path(path) for path in paths]
        for path, commit in zip(paths, commits, strict=True):
            store.checkout(commit.id, back(path))
    same = all(listed(path) == listed(back(path)) for path in paths)
    typed = 1 - sum(part.untyped for part in commits[1].parts) / commits[1].logical_bytes
    live = committed(folder / "live", [tool.live(path) for path in paths])
    cheap = commits[1].stored_bytes < 1.02 * live[1].stored_bytes
    parts = ", ".join(f"`{part.name}`" for part in commits[1].parts if part.name) or "none"
    return f"| {name} | {yes(same)} | {share(typed)} | {yes(cheap)} | {parts} |"


def back(path: Path) -> Path:
    return path.with_suffix(".back")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=TENSORFLOW.wanted if name == "TensorFlow" else ()) for name in WRITERS],
)
def test_the_matrix(store: Store, tmp_path: Path, name: str) -> None:
    (folder := tmp_path / "files").mkdir()
    assert row(store, folder, name) in PAGE.read_text().splitlines()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", [pytest.param(name, marks=tool.marks) for name, tool in TOOLS.items()])
def test_the_folders_of_training_tools(tmp_path: Path, name: str) -> None:
    assert folder_row(tmp_path, name) in PAGE.read_text().splitlines()


def test_the_tables_have_no_other_rows() -> None:
    lines = PAGE.read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| format |", "| folder |"))]
    assert [line.split(" | ")[0].removeprefix("| ") for line in rows] == [*WRITERS, *TOOLS]
