"""The demonstration, shortened: the same proof of fewer steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deltackpt import Store
from deltackpt.cli.main import run
from deltackpt.demo.fingerprints import fingerprints
from deltackpt.demo.proof import prove, three_of
from deltackpt.demo.training import Recipe, Saved, Trained, train, trained_again
from deltackpt.demo.transformer import Shape

SMALL = Recipe(steps=6, every=2, batch=2, shape=Shape(layers=1, heads=2, width=32, context=16))


@pytest.fixture
def trained(store: Store) -> Trained:
    return train(store.path, SMALL, lambda step, numbers: None)


def test_training_saves_as_it_goes(store: Store, trained: Trained) -> None:
    assert [commit.step for commit in store.log("main")] == [6, 4, 2]
    assert [one.step for one in trained.saved] == [2, 4, 6]
    assert {"model", "optimizer", "scheduler", "rng"} < set(store.load("latest"))
    assert store.resolve("main").config["shape"]["width"] == 32
    assert 0 < store.resolve("min:loss").metrics["loss"] < 7


def test_what_was_saved_goes_on_as_it_went(store: Store, trained: Trained) -> None:
    assert trained_again(store.path, SMALL, 4) == trained.losses[4:]
    assert [commit.step for commit in store.log("main")] == [6, 4, 2]


def test_every_step_is_proved(store: Store, trained: Trained, tmp_path: Path) -> None:
    for one in three_of(trained.saved):
        proof = prove(store, one, str(tmp_path))
        assert proof.holds
        assert (proof.tensors, proof.file_bytes) == (
            len(one.memory.tensors),
            (tmp_path / f"step-{one.step}.safetensors").stat().st_size,
        )


def test_a_bit_that_differs_is_named(store: Store, trained: Trained, tmp_path: Path) -> None:
    state = store.load("step:4")
    state["model"]["norm.weight"].view(torch.int32)[3] ^= 1
    wrong = Saved(4, fingerprints(state))
    proof = prove(store, wrong, str(tmp_path))
    assert proof.differing == ("model/norm.weight (checked out)", "model/norm.weight (loaded)")


def test_training_is_the_same_every_time(store: Store, trained: Trained, tmp_path: Path) -> None:
    assert train(str(tmp_path / "again"), SMALL, lambda step, numbers: None) == trained


def test_the_command_tells_the_story(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deltackpt-demo").mkdir()
    assert run(["demo", "--steps", "2", "--every", "1"]) == 0
    told = capsys.readouterr().out
    assert "every 1 to deltackpt-demo-2" in told
    assert told.count("bit-identical to what was in memory") == 2
    assert "step     1  resumed: the 1 losses from there on are the same, bit for bit" in told
    with Store(tmp_path / "deltackpt-demo-2") as store:
        assert [commit.step for commit in store.log()] == [2, 1]
    assert run(["demo", "--store", str(tmp_path / "deltackpt-demo-2")]) == 2
    assert capsys.readouterr().err.endswith("holds a store already; open it instead\n")
