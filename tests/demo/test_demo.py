"""The demonstration, shortened: the same proof of fewer steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deltackpt import Store
from deltackpt.cli.main import run
from deltackpt.demo.fingerprints import fingerprints
from deltackpt.demo.proof import prove, three_of
from deltackpt.demo.training import Recipe, Saved, train
from deltackpt.demo.transformer import Shape

SMALL = Recipe(steps=6, every=2, batch=2, shape=Shape(layers=1, heads=2, width=32, context=16))


@pytest.fixture
def saved(store: Store) -> list[Saved]:
    return list(train(store, SMALL))


def test_training_commits_as_it_goes(store: Store, saved: list[Saved]) -> None:
    assert [commit.step for commit in store.log("main")] == [6, 4, 2]
    assert [one.commit.step for one in saved] == [2, 4, 6]
    assert set(store.load("latest")) == {"model", "optimizer", "scheduler", "rng", "step"}
    assert store.resolve("main").config["shape"]["width"] == 32
    assert 0 < store.resolve("min:loss").metrics["loss"] < 7


def test_every_step_is_proved(store: Store, saved: list[Saved], tmp_path: Path) -> None:
    for one in three_of(saved):
        proof = prove(store, one, str(tmp_path))
        assert proof.holds
        assert (proof.tensors, proof.file_bytes) == (
            len(one.memory.tensors),
            (tmp_path / f"step-{one.commit.step}.safetensors").stat().st_size,
        )


def test_a_bit_that_differs_is_named(store: Store, saved: list[Saved], tmp_path: Path) -> None:
    state = store.load("step:4")
    state["model"]["norm.weight"].view(torch.int32)[3] ^= 1
    wrong = Saved(saved[1].commit, fingerprints(state))
    proof = prove(store, wrong, str(tmp_path))
    assert proof.differing == ("model/norm.weight (checked out)", "model/norm.weight (loaded)")


def test_training_is_the_same_every_time(store: Store, saved: list[Saved], tmp_path: Path) -> None:
    with Store.init(tmp_path / "again") as second:
        again = list(train(second, SMALL))
    assert [one.memory for one in again] == [one.memory for one in saved]


def test_the_command_tells_the_story(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deltackpt-demo").mkdir()
    assert run(["demo", "--steps", "2", "--every", "1"]) == 0
    told = capsys.readouterr().out
    assert "every 1 to deltackpt-demo-2" in told
    assert told.count("bit-identical to what was in memory") == 2
    with Store(tmp_path / "deltackpt-demo-2") as store:
        assert [commit.step for commit in store.log()] == [2, 1]
    assert run(["demo", "--store", str(tmp_path / "deltackpt-demo-2")]) == 2
    assert capsys.readouterr().err.endswith("holds a store already; open it instead\n")
