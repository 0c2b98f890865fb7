"""Converting on the command line, with a store and without one; names of files that are filled in."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from cli_program import Cli, program
from safetensors.torch import load_file, save_file

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


def checkpoint(folder: Path) -> Path:
    """A folder of a run: a model in float32 and integers, and an optimizer."""
    folder.mkdir()
    model = {f"net.layers.{n}.weight": torch.full((64,), n / 3) for n in range(4)}
    save_file(model | {"net.steps": torch.arange(8)}, folder / "model.safetensors")
    torch.save({"state": {0: {"exp_avg": torch.ones(64)}}, "param_groups": [{"lr": 0.1}]}, folder / "optimizer.pt")
    return folder


def test_renamings_are_applied_one_after_the_other(cli: Cli, tmp_path: Path) -> None:
    source, out = checkpoint(tmp_path / "run"), tmp_path / "out.safetensors"
    renamings = ("--rename", r"^net\.=>", "--rename", r"^layers\.(\d+)=>h.\1", "--rename", r"h\.0=>first")
    assert cli("convert", source, out, "--part", "model", *renamings).code == 0
    names = ["first.weight", "h.1.weight", "h.2.weight", "h.3.weight", "steps"]
    assert sorted(load_file(out)) == names
    wrong = cli("convert", source, tmp_path / "x.pt", "--part", "model", "--rename", r"\d=>", "--rename", "x=>y")
    assert (wrong.code, "4 tensors would be named 'net.layers..weight'; rename them apart" in wrong.err) == (2, True)
    assert not (tmp_path / "x.pt").exists()


def test_options_together_and_from_a_store_alike(cli: Cli, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "run")
    Store.init(tmp_path / "s").commit_path(source)
    options = ("--part", "model", "--select", "*.layers.*", "--dtype", "bf16", "--rename", r"^net\.=>")
    for suffix, name in (("pt", "pytorch_model"), ("gguf", "model"), ("safetensors", "model")):
        shards = (*options, "--max-shard-size", "256", "--format", suffix)
        assert cli("convert", source, tmp_path / f"direct-{suffix}", *shards).code == 0
        stored = tmp_path / f"stored-{suffix}"
        assert cli("--store", tmp_path / "s", "checkout", "main", "-o", stored, *shards).code == 0
        found = {path.name: path.read_bytes() for path in stored.iterdir()}
        assert found == {path.name: path.read_bytes() for path in (tmp_path / f"direct-{suffix}").iterdir()}
        assert f"{name}-00002-of-00002.{'bin' if suffix == 'pt' else suffix}" in found
    shards = sorted((tmp_path / "stored-safetensors").glob("*.safetensors"))
    tensors = {name: one for shard in shards for name, one in load_file(shard).items()}
    assert tensors.keys() == {f"layers.{n}.weight" for n in range(4)}
    assert all(one.equal(torch.full((64,), int(name[7]) / 3).bfloat16()) for name, one in tensors.items())


def test_a_size_of_shards_leaves_the_format_to_the_name(cli: Cli, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "run")
    for out, first in (
        ("out", "model-00001-of-00002.safetensors"),
        ("out.pt", "pytorch_model-00001-of-00002.bin"),
        ("out.onnx", "model-00001-of-00002.onnx.data"),
    ):
        assert cli("convert", source, tmp_path / out, "--part", "model", "--max-shard-size", "600").code == 0
        assert (tmp_path / out / first).exists()
    refused = cli("convert", source, tmp_path / "out.npz", "--part", "model", "--max-shard-size", "600")
    told = "an archive of NumPy is one file; choose safetensors or pt, or leave the size out"
    assert (refused.code, refused.err) == (2, f"deltackpt: {told}\n")


def test_what_cannot_be_converted_is_one_line_or_left_out(cli: Cli, tmp_path: Path) -> None:
    source, out = tmp_path / "run.pt", tmp_path / "out.npz"
    torch.save({"model": {"w": torch.ones(2)}, "args": argparse.Namespace(lr=0.1), "epoch": 3}, source)
    refused = cli("convert", source, out)
    told = "'args' in run.pt: argparse.Namespace cannot be converted; "
    advice = "leave it out with --select or --part, or convert the rest with --lossy"
    assert (refused.code, refused.err, out.exists()) == (2, f"deltackpt: {told}{advice}\n", False)
    assert cli("convert", source, tmp_path / "model.npz", "--part", "model").code == 0
    assert cli("convert", source, tmp_path / "selected.npz", "--select", "model/*").code == 0
    lossy = program("convert", source.name, out.name, "--lossy", cwd=tmp_path)
    assert (lossy.code, out.exists()) == (0, True)
    assert lossy.err.splitlines() == [
        "'args' in run.pt: argparse.Namespace; left out but for the tensors in it",
        "'epoch': npz has no place for such values; left out",
    ]


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


def test_a_name_that_promises_another_format_is_told(cli: Cli, tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "in.pt")
    cli("init", tmp_path / "s")
    cli("--store", tmp_path / "s", "commit", tmp_path / "in.pt")
    for name, told in (("a.gguf", "gguf"), ("b.safetensors", "safetensors"), ("c.pth", None), ("d", None)):
        done = cli("--store", tmp_path / "s", "checkout", "main", "-o", tmp_path / name)
        assert (done.code, (tmp_path / name).read_bytes()) == (0, (tmp_path / "in.pt").read_bytes())
        expected = f"{tmp_path / name} is written as it was committed; --format {told} converts\n"
        assert done.err == ("" if told is None else expected)
    with Store(tmp_path / "s") as store:
        store.commit({"w": torch.ones(2)}, branch="live")
    live = cli("--store", tmp_path / "s", "checkout", "live", "-o", tmp_path / "live.pt")
    assert live.err == f"{tmp_path / 'live.pt'} is written as safetensors; --format pt converts\n"
    assert list(load_file(tmp_path / "live.pt")) == ["w"]
