"""Converting on the command line, with a store and without one; names of files that are filled in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cli_program import Cli
from safetensors.torch import load_file

from deltackpt import Store


def test_a_checkpoint_is_converted_without_a_store(cli: Cli, tmp_path: Path) -> None:
    torch.save({"model.a": torch.ones(4, 4), "model.b": torch.zeros(2)}, tmp_path / "in.pt")
    out = tmp_path / "out.safetensors"
    done = cli(
        "convert", tmp_path / "in.pt", out, "--rename", r"^model\.=>", "--select", "*a", "--dtype", "bf16", "--json"
    )
    assert done.document == {"file": str(out), "bytes": out.stat().st_size, "format": "safetensors", "part": None}
    assert {name: tensor.dtype for name, tensor in load_file(out).items()} == {"a": torch.bfloat16}
    unnamed = cli("convert", tmp_path / "in.pt", tmp_path / "out")
    assert (unnamed.code, "name one with --format" in unnamed.err) == (2, True)
    assert cli("convert", tmp_path / "in.pt", tmp_path / "out", "--max-shard-size", "50").code == 0
    assert (tmp_path / "out" / "model.safetensors.index.json").exists()


def test_every_commit_of_a_line_has_a_name_of_its_own(cli: Cli, tmp_path: Path) -> None:
    store = Store.init(tmp_path / "s")
    for step in (10, 20):
        store.commit({"model": {"w": torch.full((3,), step)}}, step=step, metrics={"val_loss": 1 / step})
    arguments = ("--store", tmp_path / "s", "checkout", "main", "--all", "--part", "model")
    done = cli(*arguments, "-o", tmp_path / "step_{step}_loss_{val_loss:.4f}.pt", "--format", "pt")
    assert done.code == 0
    assert torch.load(tmp_path / "step_10_loss_0.1000.pt")["w"].tolist() == [10, 10, 10]
    assert torch.load(tmp_path / "step_20_loss_0.0500.pt")["w"].tolist() == [20, 20, 20]
    same = cli(*arguments, "-o", tmp_path / "{branch}.pt")
    assert (same.code, "2 commits would be written to" in same.err) == (2, True)
    for wrong in ("{loss}", "{step:q}", "{step", "{step!r}", "{step.real}"):
        assert cli(*arguments, "-o", tmp_path / wrong).code == 2
    assert cli(*arguments, "-o", tmp_path / "{{{step}}}.safetensors", "--json").document[0]["step"] == 20
    assert (tmp_path / "{20}.safetensors").exists()


def test_a_branch_s_name_leads_to_no_other_folder(cli: Cli, tmp_path: Path) -> None:
    store = Store.init(tmp_path / "s")
    store.commit({"model": {"w": torch.ones(3)}}, branch="a/b")
    assert cli("--store", tmp_path / "s", "checkout", "a/b", "-o", tmp_path / "{branch}.safetensors").code == 0
    assert (tmp_path / "a-b.safetensors").exists()


@pytest.mark.parametrize(("suffix", "format"), [("gguf", "gguf"), ("onnx", "onnx"), ("zarr", "zarr"), ("npz", "npz")])
def test_a_name_tells_the_format(cli: Cli, tmp_path: Path, suffix: str, format: str) -> None:
    torch.save({"w": torch.arange(6.0).reshape(2, 3)}, tmp_path / "in.pt")
    out = tmp_path / f"out.{suffix}"
    done = cli("convert", tmp_path / "in.pt", out, "--json")
    assert done.document["format"] == format
    files = [path for path in [out, *out.rglob("*")] if path.is_file()]
    assert done.document["bytes"] == sum(path.stat().st_size for path in files)
    store = Store.init(tmp_path / "s")
    store.commit_path(tmp_path / "in.pt")
    again = tmp_path / f"again.{suffix}"
    assert cli("--store", tmp_path / "s", "checkout", "main", "-o", again, "--format", format).code == 0
    for path in files:
        if format != "npz":
            assert (again / path.relative_to(out)).read_bytes() == path.read_bytes()


def test_what_a_format_cannot_hold_is_one_line(cli: Cli, tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "in.pt")
    done = cli("convert", tmp_path / "in.pt", tmp_path / "out.zarr")
    told = "tensor 'w': zarr has no bfloat16; convert it with --dtype fp32, or leave it out with --select"
    assert (done.code, done.err) == (2, f"deltackpt: {told}\n")
    assert cli("convert", tmp_path / "in.pt", tmp_path / "out.zarr", "--dtype", "fp32").code == 0
