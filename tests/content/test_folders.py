"""Folders that real libraries write: the same folder again, its tensors typed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import megatron_folders
import numpy as np
import pytest
import torch
from folder_writers import WITH_OPTIMIZER, WRITERS, State, Write, trainer, untied
from safetensors import safe_open
from safetensors.torch import save_file
from skeleton_round_trip import assert_same
from torch.utils._pytree import tree_leaves
from trees import listed

from deltackpt import Commit, Store


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
