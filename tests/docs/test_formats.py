"""The matrix of formats on docs/formats.md says what commits and conversions of real files give.

With ``DELTACKPT_WRITE_PAGES=1``, and one process, each test puts its row there.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import megatron_folders
import numpy
import onnx
import pytest
import torch
import torch.distributed.checkpoint as dcp
import zarr
from costs import committed
from environments import ORBAX, ROOT, TENSORFLOW
from safetensors.torch import save_file
from tool_folders import TOOLS, written
from trees import listed

from deltackpt import DeltackptError, Store
from deltackpt.convert.changes import Changes, Floats
from deltackpt.convert.convert import Conversion, convert_path
from deltackpt.convert.of_path import state_of_path

PAGE = ROOT / "docs" / "formats.md"
TENSORS = {f"layer.{n}.weight": torch.randn(256, 1024, generator=torch.Generator().manual_seed(n)) for n in range(4)}
FLOATS: tuple[Floats | None, ...] = (None, "bf16", "fp16")
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


def write_onnx(path: Path, **options: Any) -> None:
    initializers = [onnx.numpy_helper.from_array(tensor.numpy(), name) for name, tensor in TENSORS.items()]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], initializers)), path, **options)


def write_onnx_beside(path: Path) -> None:
    path.mkdir()
    write_onnx(path / "model.onnx", save_as_external_data=True, location="model.onnx.data")


def write_zarr(path: Path, chunks: tuple[int, int] = (256, 1024), shards: tuple[int, int] | None = None) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    for name, tensor in TENSORS.items():
        shape = tuple(tensor.shape)
        array = group.create_array(name, shape=shape, dtype="float32", chunks=chunks, shards=shards, compressors=None)
        array[...] = tensor.numpy()


def write_megatron(path: Path) -> None:
    args = argparse.Namespace(num_layers=4)
    megatron_folders.write(path, 100, [{"args": args, "model": TENSORS, "iteration": 100}])


def write_orbax(path: Path) -> None:
    write_npz(arrays := path.with_name("arrays.npz"))
    ORBAX.run(ROOT / "tests/formats/write_orbax.py", arrays, path)


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


@dataclass(frozen=True)
class Format:
    """``write`` has the format's own library write all of ``TENSORS``, or the ``first`` of them; ``out`` is ours."""

    write: Callable[[Path], None]
    out: str | None = None
    marks: tuple[pytest.MarkDecorator, ...] = ()
    first: bool = False

    @property
    def tensors(self) -> list[torch.Tensor]:
        return list(TENSORS.values())[: 1 if self.first else None]


FORMATS = {
    "safetensors": Format(lambda path: save_file(TENSORS, path), "safetensors"),
    "safetensors, sharded": Format(sharded, "safetensors"),
    "PyTorch": Format(lambda path: torch.save(TENSORS, path), "pt"),
    "PyTorch before zip": Format(lambda path: torch.save(TENSORS, path, _use_new_zipfile_serialization=False)),
    "NumPy .npz": Format(write_npz, "npz"),
    "NumPy .npy": Format(lambda path: numpy.save(path.open("wb"), TENSORS["layer.0.weight"].numpy()), first=True),
    "GGUF": Format(write_gguf, "gguf"),
    "ONNX": Format(write_onnx, "onnx"),
    "ONNX, data in another file": Format(write_onnx_beside, "onnx"),
    "zarr 3, not compressed": Format(write_zarr, "zarr"),
    "zarr 3, not compressed, sharded": Format(lambda path: write_zarr(path, (64, 512), (256, 1024))),
    "TensorFlow": Format(write_tensorflow, "tf", (TENSORFLOW.wanted,)),
    "torch.distributed.checkpoint": Format(write_dcp),
    "Megatron-LM": Format(write_megatron),
    "Orbax": Format(write_orbax, marks=(ORBAX.wanted,)),
}


def row(store: Store, folder: Path, name: str) -> str:
    """The row of a format: what is true of a file or folder that its own library wrote."""
    form = FORMATS[name]
    path, back = folder / "in", folder / "back"
    form.write(path)
    save_file(TENSORS, folder / "model.safetensors")
    store.commit_path(folder / "model.safetensors", branch="other")
    commit = store.commit_path(path)
    store.checkout("main", back)
    files = [one.relative_to(path) for one in path.rglob("*") if one.is_file()] or [Path()]
    same = all((path / one).read_bytes() == (back / one).read_bytes() for one in files)
    typed = store.typed_bytes(commit)
    assert typed is not None
    once = commit.stored_bytes < 0.02 * PLAIN
    errors = ["-"] * len(FLOATS) if form.out is None else [error(out) for out in written_again(form.out, path, folder)]
    cells = (yes(is_read(form, path)), yes(same), share(typed.share), yes(once), *errors)
    return f"| {name} | {' | '.join(cells)} |"


def is_read(form: Format, path: Path) -> bool:
    """Whether the tensors that are found have the bits that were written."""
    with state_of_path(str(path), part_of(path)) as state:
        found = [bytes(one.read()) for one in state.tensors]
    return b"".join(found) == b"".join(one.numpy().tobytes() for one in form.tensors)


def error(out: Path | None) -> str:
    """The largest relative error of a value in what was made of a file of ``TENSORS``; None was refused."""
    if out is None:
        return "refused"
    with state_of_path(str(out), part_of(out)) as state:
        found = {one.name: (one.shape, values_of(one.dtype.name, bytes(one.read()))) for one in state.tensors}
    assert {name: shape for name, (shape, _) in found.items()} == {n: tuple(one.shape) for n, one in TENSORS.items()}
    pairs = [(found[name][1], one.flatten()) for name, one in TENSORS.items()]
    worst = max(float(((new - old).abs() / old.abs()).max()) for new, old in pairs)
    return f"{worst:.1e}" if worst else "0"


def written_again(format: str, path: Path, folder: Path) -> list[Path | None]:
    """What was read from ``path``, written in ``format``: as it is, and in each shorter type; None where refused."""
    outs = {floats: folder / f"out-{floats}.{format}" for floats in FLOATS}
    if format == "tf":
        convert_by_tensorflow(path, outs)
        return list(outs.values())
    return [out if is_converted(format, path, out, floats) else None for floats, out in outs.items()]


def is_converted(format: str, path: Path, out: Path, floats: Floats | None) -> bool:
    try:
        convert_path(str(path), str(out), Conversion(format, Changes(floats=floats)), part=part_of(path))
    except DeltackptError:
        return False
    return True


def convert_by_tensorflow(path: Path, outs: Mapping[Floats | None, Path]) -> None:
    """In one process, since the library takes seconds to begin with."""
    program = "import json, sys; from deltackpt.cli.main import run; sys.exit(max(map(run, json.loads(sys.argv[1]))))"
    commands = [
        ["convert", str(path), str(out), "--format", "tf", "--part", "model", *(["--dtype", floats] if floats else [])]
        for floats, out in outs.items()
    ]
    TENSORFLOW.run("-c", program, json.dumps(commands))


def values_of(dtype: str, plain: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(plain), dtype=getattr(torch, dtype)).float()


def part_of(path: Path) -> str | None:
    """The part of a folder that holds its model."""
    return "model" if any(path.glob("model*")) else None


def put(line: str) -> None:
    """Put a row in the place of that of the same name, when the page is to be made anew."""
    if not os.environ.get("DELTACKPT_WRITE_PAGES"):
        return
    name = line.split(" | ")[0]
    rows = [line if old.split(" | ")[0] == name else old for old in PAGE.read_text().splitlines()]
    PAGE.write_text("\n".join(rows) + "\n")


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
    [pytest.param(name, marks=form.marks) for name, form in FORMATS.items()],
)
def test_the_matrix(store: Store, tmp_path: Path, name: str) -> None:
    (folder := tmp_path / "files").mkdir()
    put(line := row(store, folder, name))
    assert line in PAGE.read_text().splitlines()


@pytest.mark.parametrize("name", [pytest.param(name, marks=tool.marks) for name, tool in TOOLS.items()])
def test_the_folders_of_training_tools(tmp_path: Path, name: str) -> None:
    assert folder_row(tmp_path, name) in PAGE.read_text().splitlines()


def test_the_tables_have_no_other_rows() -> None:
    lines = PAGE.read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| format |", "| folder |"))]
    assert [line.split(" | ")[0].removeprefix("| ") for line in rows] == [*FORMATS, *TOOLS]
