"""The folder of a run is named, and its checkpoints are found: those, in order, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from left_runs import (
    STEPS,
    accelerate,
    deepspeed,
    flat,
    lightning,
    megatron,
    orbax,
    put,
    sharded,
    tensorflow,
    trainer,
    weights,
)

from deltackpt import InvalidInputError, NotFoundError, Store
from deltackpt.adoption.found import find_checkpoints

RUNS: list[tuple[Callable[[Path], Path], list[tuple[int | None, str]], list[str]]] = [
    (
        trainer,
        [*((step, f"checkpoint-{step}") for step in STEPS), (None, "")],
        ["README.md", "all_results.json", "runs"],
    ),
    (deepspeed, [(step, f"global_step{step}") for step in STEPS], ["latest", "zero_to_fp32.py"]),
    (
        lightning,
        [
            *((step, f"version_0/checkpoints/epoch={epoch}-step={step}.ckpt") for epoch, step in enumerate(STEPS)),
            (None, "version_0/checkpoints/last.ckpt"),
        ],
        ["version_0/events.out.tfevents.1.host", "version_0/hparams.yaml", "version_0/metrics.csv"],
    ),
    (megatron, [(step, f"iter_{step:07d}") for step in STEPS], ["latest_checkpointed_iteration.txt"]),
    (
        flat,
        [*((step, f"checkpoint_step_{step}_loss_{2 + 1 / step:.4f}.pt") for step in STEPS), (None, "best.pt")],
        ["config.yaml", "train.log"],
    ),
    (tensorflow, [(number, f"ckpt-{number}") for number in (1, 2, 10)], ["checkpoint"]),
    (sharded, [(7, "step-7"), (100, "step-100")], []),
    (accelerate, [(number, f"checkpoints/checkpoint_{number}") for number in range(3)], []),
    (orbax, [(9, "9"), (100, "100")], ["101.orbax-checkpoint-tmp-7"]),
]


def found_in(*patterns: Path | str) -> tuple[list[tuple[int | None, str]], list[str]]:
    found = find_checkpoints(map(str, patterns))
    return [(one.step, one.path) for one in found.checkpoints], sorted(found.left)


@pytest.mark.parametrize(("make", "checkpoints", "left"), RUNS, ids=[make.__name__ for make, _, _ in RUNS])
def test_the_folder_of_a_run_holds_its_checkpoints(
    tmp_path: Path,
    make: Callable[[Path], Path],
    checkpoints: list[tuple[int | None, str]],
    left: list[str],
) -> None:
    run = make(tmp_path / "run")
    expected = [(step, str(run / name)) for step, name in checkpoints], sorted(str(run / name) for name in left)
    assert found_in(run) == expected
    # The shell, or a glob, names each thing in the folder; below folders that hold checkpoints nothing changes.
    assert found_in(run / "*") == expected
    assert found_in(*sorted(run.iterdir())) == expected


@pytest.mark.parametrize("make", [make for make, _, _ in RUNS], ids=[make.__name__ for make, _, _ in RUNS])
def test_originals_go_and_come_back_and_nothing_else_does(
    store: Store, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    run = make(tmp_path / "run")
    kept = shutil.copytree(run, tmp_path / "kept")
    found = find_checkpoints([str(run)])
    done = list(store.adopt(found.checkpoints, remove_originals=True))
    assert all(one.removed for one in done)
    assert sorted(files_in(run)) == sorted(
        file for path in found.left for file in files_below(run, Path(path).relative_to(run))
    )
    for target, commit in store.file_names(f"{tmp_path}/back/{{name}}", [one.commit for one in done]):
        os.makedirs(tmp_path / "back", exist_ok=True)
        store.checkout(commit, target)
    for one in done:
        for name in one.found.place.members:
            back = tmp_path / "back" / os.path.basename(one.found.path) / (name if one.found.place.is_file_set else "")
            assert same(back, kept / Path(one.found.place.folder, name).relative_to(run))


def files_in(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]


def files_below(root: Path, path: Path) -> list[str]:
    return [str(path / name) for name in files_in(root / path)] if (root / path).is_dir() else [str(path)]


def same(one: Path, other: Path) -> bool:
    if one.is_file():
        return one.read_bytes() == other.read_bytes() and one.stat().st_mode == other.stat().st_mode
    names = files_in(other)
    return files_in(one) == names and all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


ONE_CHECKPOINT = [
    ("checkpoint-500", ["model.safetensors", "optimizer.pt", "trainer_args.json"]),
    ("checkpoint-500", ["global_step500/mp_rank_00_model_states.pt", "latest", "model.safetensors"]),
    ("model", ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]),
    ("dcp", [".metadata", "__0_0.distcp", "__1_0.distcp"]),
    ("global_step1000", ["mp_rank_00_model_states.pt", "layer_01-model_00-model_states.pt"]),
    ("saved", ["model.safetensors", "optimizer.bin", "custom_checkpoint_0.pkl", "custom_checkpoint_1.pkl"]),
    ("release", ["mp_rank_00/model_optim_rng.pt", "mp_rank_01/model_optim_rng.pt"]),
    ("pipeline", ["model_index.json", "unet/model.safetensors", "vae/model.safetensors"]),
]


@pytest.mark.parametrize(("name", "files"), ONE_CHECKPOINT, ids=[f"{n}-{f[0]}" for n, f in ONE_CHECKPOINT])
def test_a_folder_that_is_a_checkpoint_is_one(tmp_path: Path, name: str, files: list[str]) -> None:
    for file in files:
        put(tmp_path / name / file, *([torch.arange(3)] if re.search(r"\.(pt|bin|pkl|safetensors)$", file) else []))
    checkpoints, left = found_in(tmp_path / name)
    assert ([path for _, path in checkpoints], left) == ([str(tmp_path / name)], [])


def test_a_file_that_is_named_alone_is_taken_whatever_it_is(tmp_path: Path) -> None:
    run = deepspeed(tmp_path / "ds")
    assert found_in(run / "latest") == ([(None, str(run / "latest"))], [])
    with pytest.raises(NotFoundError, match="no checkpoint is there"):
        find_checkpoints([str(run / "late*")])


def test_a_folder_without_checkpoints_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "notes" / "README.md")
    with pytest.raises(NotFoundError, match="`deltackpt commit PATH` takes any"):
        find_checkpoints([str(tmp_path / "notes")])


def test_a_store_in_the_folder_is_no_checkpoint(store: Store, tmp_path: Path) -> None:
    run = trainer(tmp_path / "run")
    Store.init(run / "ckpts").commit({"w": weights(1)}, step=1)
    assert str(run / "ckpts") in found_in(run)[1]


def test_half_a_tensorflow_checkpoint_is_left(tmp_path: Path) -> None:
    run = tensorflow(tmp_path / "tf")
    (run / "ckpt-2.index").unlink()
    checkpoints, left = found_in(run)
    assert [step for step, _ in checkpoints] == [1, 10]
    assert str(run / "ckpt-2.data-00000-of-00002") in left


def test_tensorflow_s_own_name_of_a_checkpoint_is_a_path(tmp_path: Path) -> None:
    run = tensorflow(tmp_path / "tf")
    assert found_in(run / "ckpt-2") == ([(2, str(run / "ckpt-2"))], [])


def test_links_to_what_is_beside_are_pointers_and_links_elsewhere_are_followed(tmp_path: Path) -> None:
    run = flat(tmp_path / "run")
    (run / "last.pt").symlink_to("best.pt")
    (run / "gone.pt").symlink_to("nothing.pt")
    elsewhere = put(tmp_path / "elsewhere" / "step_20000.pt", weights(20_000))
    (run / "step_20000.pt").symlink_to(elsewhere)
    checkpoints, left = found_in(run)
    assert [step for step, _ in checkpoints] == [*STEPS, 20_000, None]
    assert {str(run / "last.pt"), str(run / "gone.pt")} <= set(left)


def test_what_a_link_leads_to_is_stored_and_removed(store: Store, tmp_path: Path) -> None:
    put(tmp_path / "big" / "step_1.pt", weights(1))
    put(tmp_path / "big" / "checkpoint-2" / "w.pt", weights(2))
    (tmp_path / "run").mkdir()
    for name in ("step_1.pt", "checkpoint-2"):
        (tmp_path / "run" / name).symlink_to(tmp_path / "big" / name)
    done = list(store.adopt(find_checkpoints([str(tmp_path / "run")]).checkpoints, remove_originals=True))
    assert [one.found.path for one in done] == [str(tmp_path / "big" / name) for name in ("step_1.pt", "checkpoint-2")]
    assert (os.listdir(tmp_path / "big"), [path.is_symlink() for path in (tmp_path / "run").iterdir()]) == (
        [],
        [True] * 2,
    )


def test_numbers_order_what_has_neither_step_nor_epoch(tmp_path: Path) -> None:
    for number in (10, 9, 100):
        put(tmp_path / "run" / f"net_{number}.pt", weights(number))
    names = [os.path.basename(path) for _, path in found_in(tmp_path / "run" / "*.pt")[0]]
    assert names == ["net_9.pt", "net_10.pt", "net_100.pt"]


def test_two_runs_below_a_folder_are_refused_with_what_to_do(tmp_path: Path) -> None:
    deepspeed(tmp_path / "runs" / "a")
    deepspeed(tmp_path / "runs" / "b")
    with pytest.raises(
        InvalidInputError, match=r"a/global_step500 and .*b/global_step500 are both of step 500; .*--branch"
    ):
        find_checkpoints([str(tmp_path / "runs")])


def test_what_a_trainer_says_becomes_metrics(tmp_path: Path) -> None:
    first, *_, final = find_checkpoints([str(trainer(tmp_path / "run"))]).checkpoints
    said = {"loss": 1 / 500, "learning_rate": 1e-4, "eval_loss": 2 / 500, "eval_runtime": 0.5}
    assert first.metrics == {**said, "best_metric": 0.25, "epoch": 0.5}
    assert final.metrics["epoch"] == STEPS[-1] / 1000
    assert final.place.members == (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "trainer_state.json",
        "training_args.bin",
    )


def test_a_model_and_its_optimizer_in_files_of_their_own_are_one_checkpoint(store: Store, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for step in (5, 10):
        put(run / f"model_step_{step}.safetensors", weights(step))
        put(run / f"optimizer_step_{step}.pt", weights(step + 1), weights(step + 2))
        put(run / f"step_{step}_loss_0.5_ema.pt", weights(step))
    put(run / "step_20.pt", weights(20))
    found = find_checkpoints([str(run)])
    assert [(one.step, os.path.basename(one.path), len(one.place.members)) for one in found.checkpoints] == [
        (5, "step_5", 3),
        (10, "step_10", 3),
        (20, "step_20.pt", 1),
    ]
    whole = {path.name: path.read_bytes() for path in run.iterdir()}
    done = list(store.adopt(found.checkpoints, remove_originals=True))
    assert [part.name for part in done[0].commit.parts] == ["", "optimizer", "model"]
    # A base was found for each: two tensors of 16 KiB would take some 30 KiB.
    assert done[1].commit.stored_bytes < 0.8 * done[0].commit.stored_bytes
    assert os.listdir(run) == []
    for path, commit in store.file_names(f"{tmp_path}/{{name}}", store.log("main")):
        store.checkout(commit, path)
        names = [Path(path).name] if os.path.isfile(path) else os.listdir(path)
        folder = tmp_path if os.path.isfile(path) else Path(path)
        assert {name: (folder / name).read_bytes() for name in names} == {name: whole.pop(name) for name in names}
    assert whole == {}


@pytest.mark.parametrize("names", [("model_step_5.pt", "model_step_5.safetensors"), ("a_step_5.pt", "b_step_5.pt")])
def test_two_files_of_a_step_that_may_be_of_two_runs_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        put(tmp_path / "run" / name, weights(5))
    with pytest.raises(InvalidInputError, match="both of step 5"):
        find_checkpoints([str(tmp_path / "run")])


def test_a_file_says_inside_what_its_name_does_not(store: Store, tmp_path: Path) -> None:
    (run := tmp_path / "run").mkdir()
    model = {"state_dict": {"w": weights(1)}}
    for epoch, step in ((0, 500), (1, 1000)):
        state = {**model, "epoch": epoch, "global_step": step, "pytorch-lightning_version": "2.5.0"}
        torch.save(state, run / f"epoch={epoch}-val_loss=0.{9 - epoch}.ckpt")
    shutil.copy(run / "epoch=1-val_loss=0.8.ckpt", run / "last.ckpt")
    torch.save({**model, "iter_num": 1500, "best_val_loss": 0.75, "loss": float("nan"), "lr": 0.1}, run / "ckpt.pt")
    torch.save({**model, "step": True, "epoch": 10**400, "loss": -(1 << 70)}, run / "odd.pt")
    found = find_checkpoints([str(run)]).checkpoints
    assert [(one.step, os.path.basename(one.path), one.metrics) for one in found] == [
        (500, "epoch=0-val_loss=0.9.ckpt", {"epoch": 0, "val_loss": 0.9}),
        (1000, "epoch=1-val_loss=0.8.ckpt", {"epoch": 1, "val_loss": 0.8}),
        (1500, "ckpt.pt", {"best_val_loss": 0.75}),
        (None, "last.ckpt", {"epoch": 1}),
        (None, "odd.pt", {}),
    ]
    list(store.adopt(found))
    assert [commit.step for commit in store.log("main")] == [None, None, 1500, 1000, 500]


def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    path = put(tmp_path / "run" / "a.ckpt", weights(1))
    path.write_bytes(path.read_bytes()[:500])
    (one,) = find_checkpoints([str(tmp_path / "run")]).checkpoints
    assert (one.step, one.metrics) == (None, {})


def test_steps_beside_an_optimizer_with_a_number_are_steps(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for step in (100, 200):
        put(run / f"ckpt-{step:05d}.pt", weights(step))
        put(run / f"optimizer_{step}.pt", weights(step))
    put(one := tmp_path / "checkpoint_3" / "optimizer.bin", weights(1))
    for number in (1, 2):
        put(one.parent / f"optimizer_{number}.bin", weights(number))
        put(one.parent / f"ckpt-{number}.bin", weights(number))
    found = [os.path.basename(one.path) for one in find_checkpoints([str(run)]).checkpoints]
    assert found == ["ckpt-00100.pt", "ckpt-00200.pt", "optimizer_100.pt", "optimizer_200.pt"]
    assert [one.step for one in find_checkpoints([str(tmp_path / "checkpoint_3")]).checkpoints] == [3]
