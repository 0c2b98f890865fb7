"""What files and variables are for, told by their names; and the state of a part that many files make up."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import save_file

from deltackpt import Store, open_state
from deltackpt.content.roles import role_of, role_of_variable

GOLDEN = Path(__file__).parents[1] / "formats/golden/tensorflow"


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("model_step_5.pt", "model"),
        ("optimizer-step-5.pt", "optimizer"),
        ("step_5_optimizer.pt", "optimizer"),
        ("checkpoint_5.model.pt", "model"),
        ("model-step-100-00001-of-00002.safetensors", "model"),
        ("epoch=3/scheduler_epoch_3.bin", "scheduler"),
        ("checkpoint-500/rng_state_0.pth", "rng"),
        ("checkpoint-500/rng_state.pth", "rng"),
        ("checkpoint-500", ""),
        ("step_5.pt", ""),
        ("remodel_5.pt", ""),
        ("model_step_5.md", ""),
    ],
)
def test_a_step_in_a_name_hides_no_role(path: str, role: str) -> None:
    assert role_of(path) == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("model/layer/kernel", "model"),
        ("layer_with_weights-0/bias", "model"),
        ("net/w", "model"),
        ("model/layer/kernel/.OPTIMIZER_SLOT/optimizer/m", "optimizer"),
        ("optimizer/_variables/1", "optimizer"),
        ("model/optimizer/_iterations", "optimizer"),
        ("critic_optimizer/iter", "optimizer"),
        ("optimizer/_trainable_variables/0", "model"),
        ("dense/kernel/Adam_1", "optimizer"),
        ("beta1_power", "optimizer"),
        ("save_counter", ""),
        ("global_step", ""),
    ],
)
def test_variables_of_tensorflow_are_the_models_the_optimizers_or_counters(name: str, role: str) -> None:
    assert role_of_variable(name) == role


def test_a_tensorflow_checkpoint_has_parts(store: Store, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "object", tmp_path / "run"))
    commit = store.commit(folder)
    assert [part.name for part in commit.parts] == ["", "model"]
    model = store.load("main", part="model")
    assert {name: type(value) for name, value in model.items()}.keys() == {"step", "layer/kernel", "layer/bias"}
    assert isinstance(model["layer/kernel"], np.ndarray)
    assert open_state(folder)["model"].keys() == model.keys()
    store.checkout("main", tmp_path / "again")
    assert {p.name: p.read_bytes() for p in (tmp_path / "again").iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }


@pytest.mark.parametrize("stored", [False, True])
def test_arrays_of_zarr_in_a_part_have_their_own_names(store: Store, tmp_path: Path, stored: bool) -> None:
    folder = tmp_path / "run"
    group = zarr.open_group(folder / "model.zarr", mode="w", zarr_format=3)
    for name in ("a", "b"):
        group.create_array(name, data=np.full((2, 2), ord(name), np.float32), compressors=None)
    store.commit_path(folder)
    state = store.load("main") if stored else open_state(folder)
    assert state.keys() == {"model"}
    assert {name: value.tolist() for name, value in state["model"].items()} == {
        "a/c/0/0": [[97, 97], [97, 97]],
        "b/c/0/0": [[98, 98], [98, 98]],
    }
    assert [tensor.name for tensor in store.inventory("main") if tensor.name.startswith("model/")] == [
        "model/a/c/0/0",
        "model/b/c/0/0",
    ]


def test_whole_states_in_one_part_stand_under_the_names_of_their_files(store: Store, tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    for name in ("a", "b"):
        store.commit({"net": {name: torch.ones(2)}, "step": 3}, branch=name)
        store.checkout(name, folder / f"model_{ord(name)}.safetensors")
    save_file({"c": torch.ones(2)}, folder / "model.safetensors")
    model = open_state(folder)["model"]
    assert model.keys() == {"model.safetensors", "model_97.safetensors", "model_98.safetensors"}
    assert model["model_97.safetensors"]["net"]["a"].tolist() == [1, 1]


def test_files_of_ranks_find_their_bases_by_role(store: Store, tmp_path: Path) -> None:
    values = [np.random.default_rng(rank).integers(0, 256, 50_000, dtype=np.uint8) for rank in range(3)]
    for step in (5, 10):
        (folder := tmp_path / f"checkpoint-{step}").mkdir()
        for rank, value in enumerate(values):
            torch.save({"cuda": torch.from_numpy(value), "step": step}, folder / f"rng_state_{rank}.pth")
    first, second = (store.commit(tmp_path / f"checkpoint-{step}", step=step) for step in (5, 10))
    assert first.stored_bytes > 150_000
    assert second.stored_bytes < 6_000
    names = {row.name for row in store.inventory("main")}
    assert {f"rng/rng_state_{rank}.pth/cuda" for rank in range(3)} <= names


def test_variables_stay_in_the_part_that_their_file_is_named_after(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for file in (GOLDEN / "saved").iterdir():
        shutil.copy(file, folder / file.name.replace("ckpt.", "model.ckpt-500."))
    commit = store.commit(folder)
    assert [part.name for part in commit.parts] == ["", "model"]
    assert {"float32", "scalar"} <= store.load("main", part="model").keys()
