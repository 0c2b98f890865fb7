"""Converting: what other libraries read from what we wrote, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skeleton_round_trip import assert_same

from deltackpt import InvalidInputError, NotFoundError, Store
from deltackpt.convert.changes import Changes, Renaming
from deltackpt.convert.convert import Conversion, convert_path
from deltackpt.convert.formats import FORMATS
from deltackpt.errors import UnsupportedError


def state(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "model.embed.weight": torch.randn(50, 8).to(dtype),
        "model.layers.0.q.weight": torch.randn(8, 8).to(dtype),
        "model.layers.0.turned": torch.randn(4, 6).to(dtype).t(),
        "model.steps": torch.arange(3),
        "model.scale": torch.tensor(2.0).to(dtype),
        "model.none": torch.zeros(0, 4).to(dtype),
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.save(state(), tmp_path / "in.pt")
    return tmp_path / "in.pt"


def read(path: Path) -> dict[str, torch.Tensor]:
    match path.suffix:
        case ".safetensors":
            return load_file(path)
        case ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays}
    loaded = torch.load(path, weights_only=True)
    assert isinstance(loaded, dict)
    return loaded


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "npz"])
def test_every_format_holds_the_same(source: Path, store: Store, suffix: str) -> None:
    out = source.with_name(f"out.{suffix}")
    written = convert_path(str(source), str(out), Conversion(suffix))
    assert written == out.stat().st_size
    assert equal(read(out), state())
    store.commit_path(out)
    store.commit(state(), branch="live")
    for ref in ("main", "live"):
        store.export(ref, source.with_name(f"{ref}.{suffix}"), Conversion(suffix))
        assert equal(read(source.with_name(f"{ref}.{suffix}")), state())
    with pytest.raises(InvalidInputError, match="exists already"):
        convert_path(str(source), str(out), Conversion(suffix))


@pytest.mark.parametrize(("floats", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_floats_are_rounded_as_torch_rounds_them(source: Path, floats: Any, dtype: torch.dtype) -> None:
    out = source.with_name("out.safetensors")
    convert_path(str(source), str(out), Conversion("safetensors", Changes(floats=floats)))
    assert equal(load_file(out), {name: t.to(dtype) if t.is_floating_point() else t for name, t in state().items()})
    back = source.with_name("back.pt")
    convert_path(str(out), str(back), Conversion("pt", Changes(floats="fp32")))
    assert read(back)["model.embed.weight"].dtype == torch.float32


def test_selected_and_renamed(source: Path) -> None:
    renamings = (Renaming.of(r"^model\.=>"), Renaming.of(r"layers\.(\d+)=>h.\1"))
    out = source.with_name("out.safetensors")
    convert_path(str(source), str(out), Conversion("safetensors", Changes("*weight", renamings)))
    assert list(load_file(out)) == ["embed.weight", "h.0.q.weight"]
    with pytest.raises(NotFoundError, match="matches 'none'"):
        convert_path(str(source), "x.pt", Conversion("pt", Changes("none")))
    with pytest.raises(InvalidInputError, match="would be named 'w'"):
        convert_path(str(source), "x.pt", Conversion("pt", Changes(renamings=(Renaming.of(".*weight=>w"),))))
    for wrong in ("(=>x", "no arrow", r"a=>\3"):
        with pytest.raises(InvalidInputError, match="renaming"):
            Renaming.of(wrong)


def test_shards_have_an_index(source: Path) -> None:
    folder = source.with_name("out")
    convert_path(str(source), str(folder), Conversion("safetensors", shard_bytes=1700))
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    loaded: dict[str, torch.Tensor] = {}
    for name in set(index["weight_map"].values()):
        shard = load_file(folder / name)
        assert all(index["weight_map"][tensor] == name for tensor in shard)
        loaded |= shard
    assert equal(loaded, state())
    assert len(set(index["weight_map"].values())) == 2
    assert index["metadata"]["total_size"] == sum(t.numel() * t.itemsize for t in state().values())
    whole = source.with_name("whole")
    convert_path(str(source), str(whole), Conversion("safetensors", shard_bytes=10**6))
    assert [path.name for path in whole.iterdir()] == ["model.safetensors"]


def test_what_a_format_cannot_hold_is_said_before_anything_is_written(tmp_path: Path) -> None:
    torch.save(state(torch.bfloat16), tmp_path / "half.pt")
    with pytest.raises(InvalidInputError, match="no bfloat16; convert it with --dtype fp32"):
        convert_path(str(tmp_path / "half.pt"), str(tmp_path / "x.npz"), Conversion("npz"))
    torch.save({"w": torch.tensor([1e30])}, tmp_path / "large.pt")
    with pytest.raises(InvalidInputError, match=r"cannot hold, such as 1e\+30"):
        convert_path(str(tmp_path / "large.pt"), str(tmp_path / "x.npz"), Conversion("npz", Changes(floats="fp16")))
    torch.save({"w": torch.zeros(2, dtype=torch.complex128)}, tmp_path / "complex.pt")
    with pytest.raises(InvalidInputError, match="safetensors has no complex128"):
        convert_path(str(tmp_path / "complex.pt"), str(tmp_path / "x.safetensors"), Conversion("safetensors"))
    with pytest.raises(InvalidInputError, match=r"format is one of"):
        Conversion("h5")
    for format, why in (("npz", "is one file"), ("zarr", "a file for each array"), ("tf", "cut into files as it is")):
        with pytest.raises(InvalidInputError, match=f"{why}.*; .*leave the size out"):
            Conversion(format, shard_bytes=5)
    assert {path.name for path in tmp_path.iterdir()} == {"half.pt", "large.pt", "complex.pt"}


def test_values_beside_tensors_are_kept_or_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2), "epoch": 3, "name": "run"}, tmp_path / "in.pt")
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.pt"), Conversion("pt"))
    assert torch.load(tmp_path / "out.pt")["epoch"] == 3
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.safetensors"), Conversion("safetensors"))
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert json.loads(file.metadata()["deltackpt.values"]) == {"epoch": 3, "name": "run"}
    with pytest.raises(InvalidInputError, match="'epoch' and 1 more: npz holds tensors only"):
        convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.npz"), Conversion("npz"))
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.npz"), Conversion("npz", Changes("w")))


def test_a_part_of_a_commit_and_of_a_folder(store: Store, tmp_path: Path) -> None:
    model = {"a.weight": torch.ones(3, 3)}
    (folder := tmp_path / "checkpoint").mkdir()
    save_file(model, folder / "model.safetensors")
    torch.save({"state": {}, "param_groups": [{"lr": 0.1}]}, folder / "optimizer.pt")
    convert_path(str(folder), str(tmp_path / "one.pt"), Conversion("pt"), part="model")
    store.commit_path(folder)
    store.export("main", tmp_path / "two.pt", Conversion("pt"), part="model")
    assert equal(read(tmp_path / "one.pt"), model)
    assert equal(read(tmp_path / "two.pt"), model)
    with pytest.raises(InvalidInputError, match="leave others out with --select, --part or --lossy"):
        store.export("main", tmp_path / "three.pt", Conversion("pt"))
    with pytest.raises(InvalidInputError, match=r"no config\.json"):
        store.export("main", tmp_path / "hf", Conversion("hf"))
    with pytest.raises(InvalidInputError, match="lies in the store"):
        convert_path(str(folder), str(Path(store.path) / "x.pt"), Conversion("pt"), part="model")


def test_transformers_loads_the_folder(store: Store, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "run")
    torch.save({"lr": 0.1}, tmp_path / "run" / "scheduler.pt")
    store.commit_path(tmp_path / "run")
    convert_path(str(tmp_path / "run"), str(tmp_path / "direct"), Conversion("hf", shard_bytes=8000))
    store.export("main", tmp_path / "stored", Conversion("hf"))
    for folder in ("direct", "stored"):
        loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / folder, dtype=torch.float32)
        assert equal(loaded.state_dict(), model.state_dict())
        assert not (tmp_path / folder / "scheduler.pt").exists()


@pytest.mark.parametrize("module", ["gguf", "onnx", "zarr", "torch"])
def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "in.safetensors")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnsupportedError, match=rf"needs {module}; install deltackpt\[{module}\]"):
        convert_path(
            str(tmp_path / "in.safetensors"), str(tmp_path / "out"), Conversion("pt" if module == "torch" else module)
        )


def test_a_whole_state_in_safetensors_is_the_state_again(
    store: Store, tmp_path: Path, trained: list[dict[str, Any]]
) -> None:
    weight = torch.randn(4, 3)
    odd = {"weight": weight, "tied": weight, "row": weight[1], "a/b": {"set": {1, 2}, "big": bytes(range(256)) * 9000}}
    for branch, state in {"trained": trained[0], "odd": odd | {"pair": (1, None, "x"), "step": np.int64(3)}}.items():
        store.commit(state, branch=branch)
        store.export(branch, tmp_path / f"{branch}.safetensors", Conversion("safetensors"))
        store.commit_path(tmp_path / f"{branch}.safetensors", branch=f"{branch}-again")
        assert_same(store.load(f"{branch}-again"), state)
    torch.save(trained[0], tmp_path / "in.pt")
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.safetensors"), Conversion("safetensors"))
    store.commit_path(tmp_path / "in.pt", branch="pt")
    store.commit_path(tmp_path / "out.safetensors", branch="converted")
    assert_same(store.load("converted"), store.load("pt"))


@pytest.mark.parametrize("changes", [Changes("w"), Changes(floats="bf16"), Changes(renamings=(Renaming.of("w=>v"),))])
def test_a_state_that_was_changed_is_its_tensors(store: Store, tmp_path: Path, changes: Changes) -> None:
    torch.save({"w": torch.ones(2), "epoch": 3}, tmp_path / "in.pt")
    convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out.safetensors"), Conversion("safetensors", changes))
    store.commit_path(tmp_path / "out.safetensors")
    assert store.load("main").keys() == {"v" if changes.renamings else "w"}


@pytest.mark.parametrize("format", [name for name in FORMATS if name not in ("hf", "tf")])
def test_an_error_half_way_leaves_nothing(tmp_path: Path, format: str) -> None:
    torch.save({"a": torch.ones(2), "b": torch.tensor([1e30])}, tmp_path / "in.pt")
    with pytest.raises(InvalidInputError, match="'b' has values that float16 cannot hold"):
        convert_path(str(tmp_path / "in.pt"), str(tmp_path / "out"), Conversion(format, Changes(floats="fp16")))
    assert [path.name for path in tmp_path.iterdir()] == ["in.pt"]
