"""Taking in what a run has left behind: order, metrics, comparison, going on after an interruption, removal."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from deltackpt import CorruptError, InvalidInputError, NotFoundError, Store
from deltackpt.adoption.estimate import estimate
from deltackpt.adoption.found import FoundCheckpoint, find_checkpoints
from deltackpt.adoption.names import said_by_name
from deltackpt.adoption.removal import Original
from deltackpt.adoption.search import Place
from deltackpt.fs.tree import ChangedError
from deltackpt.ids import CommitId


@pytest.mark.parametrize(
    ("name", "step", "metrics"),
    [
        ("checkpoint-500", 500, {}),
        ("checkpoint_step_10000_loss_2.3456.pt", 10_000, {"loss": 2.3456}),
        ("epoch=3-val_loss=0.41.ckpt", None, {"val_loss": 0.41, "epoch": 3}),
        ("epoch=3-step=2000.ckpt", 2000, {"epoch": 3}),
        ("global_step1000", 1000, {}),
        ("step-2000", 2000, {}),
        ("ckpt_7.safetensors", 7, {}),
        ("model-00001-of-00002.safetensors", None, {}),
        ("best.pt", None, {}),
        ("iter_0000100", 100, {}),
        ("500", 500, {}),
        ("custom_checkpoint_0.pkl", None, {}),
        ("epoch_12_acc_0.875.pth", None, {"epoch": 12, "acc": 0.875}),
    ],
)
def test_what_a_name_says(name: str, step: int | None, metrics: dict[str, float]) -> None:
    assert said_by_name(name) == (step, metrics)


def found_at(*patterns: str | Path) -> tuple[FoundCheckpoint, ...]:
    return find_checkpoints(map(str, patterns)).checkpoints


@pytest.fixture
def run(tmp_path: Path, trained: list[dict[str, Any]]) -> Path:
    """Three checkpoints of a trainer, the newest with the greatest name but not the last in the alphabet."""
    for state, step in zip(trained, (900, 1000, 1100), strict=False):
        (folder := tmp_path / "run" / f"checkpoint-{step}").mkdir(parents=True)
        save_file({name: tensor.clone() for name, tensor in state["model"].items()}, folder / "model.safetensors")
        torch.save(state["optimizer"], folder / "optimizer.pt")
        log = [
            {"step": step - 100, "loss": 9.0},
            {"step": step, "loss": state["loss"]},
            {"step": step, "eval_acc": 0.5},
        ]
        said = {"global_step": step, "epoch": step / 1000, "log_history": log}
        (folder / "trainer_state.json").write_text(json.dumps(said))
    return tmp_path / "run"


def test_a_run_is_committed_in_order_with_its_metrics(store: Store, run: Path, trained: list[dict[str, Any]]) -> None:
    made = list(store.adopt(found_at(run / "checkpoint-*")))
    assert [one.commit.step for one in made] == [900, 1000, 1100]
    assert made[0].commit.metrics == {"loss": pytest.approx(trained[0]["loss"]), "eval_acc": 0.5, "epoch": 0.9}
    assert made[1].commit.parents == (made[0].commit.id,)
    assert all(path.is_dir() for path in run.iterdir())


def test_an_interrupted_import_goes_on(store: Store, run: Path) -> None:
    found = found_at(run / "*")
    next(iter(store.adopt(found)))
    again = list(store.adopt(found))
    assert [one.known for one in again] == [True, False, False]
    assert len(list(store.log("main"))) == 3


def test_originals_go_only_when_asked_and_come_back(store: Store, run: Path, tmp_path: Path) -> None:
    before = (run / "checkpoint-1000/optimizer.pt").read_bytes()
    list(store.adopt(found_at(run / "*"), remove_originals=True))
    assert os.listdir(run) == []
    store.checkout("step:1000", tmp_path / "out")
    assert (tmp_path / "out/optimizer.pt").read_bytes() == before


@pytest.mark.parametrize("change", ["write", "add"])
def test_what_changed_after_its_commit_is_not_removed(store: Store, run: Path, change: str) -> None:
    folder = run / "checkpoint-900"
    found = found_at(folder)
    list(store.adopt(found))
    if change == "write":
        (folder / "optimizer.pt").write_bytes(b"another")
    else:
        (folder / "more.txt").touch()
        os.utime(folder, ns=(found[0].mtime_ns, found[0].mtime_ns))
    with pytest.raises(CorruptError, match=r"is not what commit .* holds"):
        list(store.adopt(found, remove_originals=True))
    assert (folder / "model.safetensors").exists()


def test_a_link_to_the_newest_is_that_one(run: Path) -> None:
    (run / "last").symlink_to("checkpoint-1100")
    assert len(found_at(run / "*")) == 3


def test_what_names_nothing_and_two_of_one_step_are_refused(run: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nothing-\*"):
        found_at(run / "nothing-*")
    (run / "step-900").mkdir()
    (run / "step-900/w.pt").touch()
    with pytest.raises(InvalidInputError, match="both of step 900"):
        found_at(run / "*")


@pytest.mark.parametrize("name", ["optimizer.pt", ""])
def test_what_changed_after_the_comparison_is_not_removed(run: Path, name: str) -> None:
    path = run / "checkpoint-900" / "optimizer.pt"
    subject = path if name else path.parent
    original = Original.noted_at(Place(str(subject), str(subject)))
    before = path.stat()
    path.write_bytes(b"another")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ChangedError, match="changed while"):
        original.remove(CommitId(bytes(32)))
    assert path.read_bytes() == b"another"
    assert sorted(os.listdir(run)) == ["checkpoint-1000", "checkpoint-1100", "checkpoint-900"]


def test_the_estimate_is_near_what_is_stored(store: Store, run: Path) -> None:
    found = found_at(run / "*")
    told = estimate(found)
    made = list(store.adopt(found))
    stored = sum(one.commit.stored_bytes for one in made)
    assert told.plain_bytes == sum(one.commit.logical_bytes for one in made)
    assert 0.5 * stored < told.stored_bytes < 1.5 * stored
