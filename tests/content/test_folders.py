"""Folders that real libraries write: the same folder again, its tensors typed, the second checkpoint of a run cheap."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import megatron_folders
import numpy as np
import onnx
import pytest
import torch
import torch.distributed.checkpoint as dcp
import zarr
from onnx import helper, numpy_helper
from safetensors import safe_open
from safetensors.torch import save_file
from skeleton_round_trip import assert_same
from torch.utils._pytree import tree_leaves
from trees import listed

from deltackpt import Commit, Store

State = dict[str, Any]
Write = Callable[[Path, State], None]


def untied(state: State) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in state["model"].items()}


def trainer(folder: Path, state: State) -> None:
    """The files of Transformers' Trainer, the model in two shards."""
    tensors, half = untied(state), len(state["model"]) // 2
    shards = [dict(list(tensors.items())[:half]), dict(list(tensors.items())[half:])]
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, folder / name, {"format": "pt"})
    index = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}, indent=2))
    torch.save(state["optimizer"], folder / "optimizer.pt")
    torch.save({"last_epoch": state["step"], "_last_lr": [0.1]}, folder / "scheduler.pt")
    torch.save({"python": (3, (1, 2), None), "cpu": state["rng"]["torch"]}, folder / "rng_state.pth")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": state["step"], "log_history": []}))


def deepspeed(folder: Path, state: State) -> None:
    """The layout of DeepSpeed's ZeRO: a folder of the step, and the name of the newest beside it."""
    step = folder / f"global_step{state['step']}"
    step.mkdir()
    torch.save({"module": state["model"], "global_steps": state["step"]}, step / "mp_rank_00_model_states.pt")
    for rank in range(2):
        optimizer = {"optimizer_state_dict": state["optimizer"], "zero_stage": 1, "rank": rank}
        torch.save(optimizer, step / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    (folder / "latest").write_text(step.name)


def distributed(folder: Path, state: State) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = {"model": state["model"], "optim": state["optimizer"], "step": state["step"]}
        dcp.save(saved, checkpoint_id=folder, no_dist=True)


def legacy(folder: Path, state: State) -> None:
    torch.save(state["model"], folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    torch.save(state["optimizer"], folder / "optimizer.bin", _use_new_zipfile_serialization=False)


def arrays(folder: Path, state: State) -> None:
    with (folder / "weights.npz").open("wb") as file:
        np.savez(file, **{name: tensor.numpy() for name, tensor in untied(state).items()})


def onnx_model(folder: Path, state: State) -> None:
    initializers = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in untied(state).items()]
    model = helper.make_model(helper.make_graph([], "graph", [], [], initializers))
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)


def gguf_model(folder: Path, state: State) -> None:
    writer = gguf.GGUFWriter(folder / "m.gguf", "llama")
    for name, tensor in untied(state).items():
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def zarr_arrays(folder: Path, state: State) -> None:
    group = zarr.open_group(folder / "arrays.zarr", mode="w", zarr_format=3)
    for name, tensor in untied(state).items():
        array = tensor.numpy()
        group.create_array(name, shape=array.shape, dtype=array.dtype, chunks=array.shape, compressors=None)[...] = (
            array
        )


WITH_OPTIMIZER = [trainer, deepspeed, distributed, legacy]
WRITERS = [*WITH_OPTIMIZER, arrays, onnx_model, gguf_model, zarr_arrays]


def written(write: Write, folder: Path, state: State) -> Path:
    folder.mkdir()
    write(folder, state)
    return folder


def typed_bytes(commit: Commit) -> int:
    return sum(part.nbytes - part.untyped for part in commit.parts)


def tensor_bytes(state: Any) -> int:
    """Bytes of all tensors of a state, tied ones once."""
    found = {leaf.data_ptr(): leaf.nbytes for leaf in tree_leaves(state) if isinstance(leaf, torch.Tensor)}
    return sum(found.values())


@pytest.mark.parametrize("write", WRITERS)
def test_a_run_of_folders(store: Store, tmp_path: Path, trained: list[State], write: Write) -> None:
    folders, commits = [], []
    for state in trained:
        folder = written(write, tmp_path / f"checkpoint-{state['step']}", state)
        commits.append(store.commit(folder, step=state["step"]))
        folders.append(folder)
    for state, commit, folder in zip(trained, commits, folders, strict=True):
        store.checkout(commit.id, out := tmp_path / f"again-{commit.step}")
        assert listed(out) == listed(folder)
        kept = [state["model"], state["optimizer"] if write in WITH_OPTIMIZER else None]
        assert typed_bytes(commit) >= 0.99 * tensor_bytes(kept)
    assert store.verify(data=True).problems == []


@pytest.mark.parametrize("write", WRITERS)
def test_tensors_are_those_of_a_live_state(store: Store, tmp_path: Path, trained: list[State], write: Write) -> None:
    live = store.commit(trained[0])
    folder = store.commit(written(write, tmp_path / "c", trained[0]), branch="folders")
    assert folder.stored_bytes < 0.05 * live.stored_bytes


@pytest.mark.parametrize("write", WITH_OPTIMIZER)
def test_the_second_folder_costs_what_the_live_state_costs(tmp_path: Path, trained: list[State], write: Write) -> None:
    """The numbers of steps in names hide nothing."""
    with Store.init(tmp_path / "live") as live, Store.init(tmp_path / "folders") as folders:
        costs = []
        for state in trained[:2]:
            folder = written(write, tmp_path / f"global_step{state['step']}", state)
            costs.append((folders.commit(folder).stored_bytes, live.commit(state).stored_bytes))
    assert costs[1][0] < 1.1 * costs[1][1] + 8192


def test_the_state_of_a_trainers_folder(store: Store, tmp_path: Path, trained: list[State]) -> None:
    store.commit(written(trainer, tmp_path / "checkpoint-10", trained[0]))
    assert_same(dict(sorted(store.load("main", part="model").items())), dict(sorted(untied(trained[0]).items())))
    assert_same(store.load("main", part="optimizer"), trained[0]["optimizer"])
    assert_same(store.load("main", part="scheduler"), {"last_epoch": trained[0]["step"], "_last_lr": [0.1]})


def test_one_part_of_a_folder(store: Store, tmp_path: Path, trained: list[State]) -> None:
    folder = written(trainer, tmp_path / "checkpoint-10", trained[0])
    store.commit(folder)
    store.checkout("main", tmp_path / "out", part="optimizer")
    assert os.listdir(tmp_path / "out") == ["optimizer.pt"]
    assert (tmp_path / "out/optimizer.pt").read_bytes() == (folder / "optimizer.pt").read_bytes()


def test_a_nested_file_loads_as_pytorch_loads_it(store: Store, tmp_path: Path, trained: list[State]) -> None:
    state = {key: value for key, value in trained[0].items() if key != "rng"}
    torch.save(state, tmp_path / "c.pt")
    store.commit(tmp_path / "c.pt")
    assert_same(store.load("main"), torch.load(tmp_path / "c.pt", weights_only=True))


def test_a_live_state_goes_out_as_safetensors_and_comes_in_again(
    store: Store, tmp_path: Path, trained: list[State]
) -> None:
    live = store.commit({**trained[0], "z": torch.tensor([1 + 2j], dtype=torch.complex128), "a": np.arange(3.0)})
    store.checkout(live.id, tmp_path / "c.safetensors")
    again = store.commit(tmp_path / "c.safetensors", branch="again")
    assert again.stored_bytes < 0.05 * live.stored_bytes
    assert_same(store.load("again"), store.load(live.id))
    assert {part.name for part in again.parts} == {part.name for part in live.parts}
    store.checkout("again", tmp_path / "d.safetensors")
    assert (tmp_path / "d.safetensors").read_bytes() == (tmp_path / "c.safetensors").read_bytes()


def test_a_file_whose_metadata_lies_about_its_tensors_is_a_dict(store: Store, tmp_path: Path) -> None:
    store.commit({"model": {"w": torch.ones(300)}})
    store.checkout("main", path := tmp_path / "c.safetensors")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({"v": torch.ones(3)}, path, metadata)
    store.commit(path, branch="lie")
    assert_same(store.load("lie"), {"v": torch.ones(3)})


def test_the_only_rank_of_megatron_fills_the_parts(store: Store, tmp_path: Path) -> None:
    megatron_folders.write(tmp_path / "c", 100, [state := megatron_folders.state_of_rank(0)])
    commit = store.commit_path(tmp_path / "c")
    assert [part.name for part in commit.parts] == ["", "optimizer", "scheduler", "rng", "model"]
    assert commit.holds == "full"
    loaded = store.load("main")
    for part, key in (("model", "model"), ("optimizer", "optimizer"), ("rng", "rng_state")):
        assert_same(loaded[part], state[key])
    assert loaded["scheduler"] == state["opt_param_scheduler"]
    assert loaded["iter_*/mp_rank_00/model_optim_rng.pt"] == {"checkpoint_version": 3.0, "iteration": 100}
    names = [row.name for row in store.inventory("main")]
    assert "model/language_model/embedding/w" in names
    assert "optimizer/optimizer/state/0/exp_avg" in names
    store.checkout("main", tmp_path / "back")
    assert listed(tmp_path / "back") == listed(tmp_path / "c")


def test_ranks_of_megatron_stand_beside_each_other_and_deltas_find_their_own(store: Store, tmp_path: Path) -> None:
    states = [megatron_folders.state_of_rank(rank) for rank in range(2)]
    megatron_folders.write(tmp_path / "c", 100, states)
    store.commit_path(tmp_path / "c")
    for part in ("model", "optimizer"):
        loaded = store.load("main")[part]
        assert list(loaded) == [f"iter_*/mp_rank_0{rank}/model_optim_rng.pt" for rank in range(2)]
        for rank, state in enumerate(states):
            assert_same(loaded[f"iter_*/mp_rank_0{rank}/model_optim_rng.pt"], state[part])
    megatron_folders.write(tmp_path / "d", 200, states)
    assert store.commit_path(tmp_path / "d").stored_bytes < 20_000


def test_a_model_of_megatron_in_pieces(store: Store, tmp_path: Path) -> None:
    (path := tmp_path / "c/mp_rank_00/model_optim_rng.pt").parent.mkdir(parents=True)
    pieces = {"model0": {"w": torch.arange(100.0)}, "model1": {"w": torch.arange(100.0) + 1}}
    torch.save({**pieces, "iteration": 3}, path)
    store.commit_path(tmp_path / "c")
    assert_same(store.load("main")["model"], pieces)
    assert [row.name for row in store.inventory("main")] == ["model/model0/w", "model/model1/w"]
