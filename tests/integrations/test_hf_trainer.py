"""Hugging Face's Trainer, the real one: what it saves is in the store, and any step goes on as it went."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import outputs

from deltackpt import InvalidInputError, Keep, Store

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
transformers = pytest.importorskip("transformers")

from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments  # noqa: E402

from deltackpt.integrations.hf_trainer import DeltackptCallback, DeltackptMixin, restore_folder, resume_folder  # noqa: E402

DATA = [
    {"input_ids": ids, "labels": ids} for ids in torch.randint(64, (40, 12), generator=torch.Generator().manual_seed(1))
]


class MixedIn(DeltackptMixin, Trainer):
    """As people write it."""


class Losses(TrainerCallback):
    """The loss of each step, to the last bit."""

    def __init__(self) -> None:
        self.told: dict[int, float] = {}

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **live: Any) -> None:
        if logs and "loss" in logs:
            self.told[state.global_step] = logs["loss"]


class Ends(TrainerCallback):
    """Stops after a step, without the Trainer's word of farewell."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **live: Any) -> None:
        control.should_training_stop = state.global_step >= self.step


def trainer(
    folder: Path, *callbacks: Any, kind: type = Trainer, around: Callable[[Any], Any] = lambda m: m, **arguments: Any
) -> Any:
    torch.manual_seed(3)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=2, n_head=2))
    defaults = {
        "output_dir": str(folder / "out"),
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "max_steps": 8,
        "per_device_train_batch_size": 4,
        "save_steps": 2,
        "save_total_limit": 1,
        "logging_steps": 1,
        "learning_rate": 1e-2,
    }
    settings = TrainingArguments(**{**defaults, **arguments})
    return kind(
        model=around(model), args=settings, train_dataset=DATA, eval_dataset=DATA[:8], callbacks=list(callbacks)
    )


def weights(made: Any) -> dict[str, Any]:
    return {name: value.clone() for name, value in made.model.state_dict().items()}


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def steps(path: Path, ref: str = "main") -> list[int | None]:
    with Store(path) as store:
        return [commit.step for commit in store.log(ref)]


def test_a_step_that_the_trainer_has_deleted_goes_on_bit_for_bit(tmp_path: Path) -> None:
    losses = Losses()
    whole = trainer(tmp_path, DeltackptCallback(tmp_path / "s"), losses)
    whole.train()
    assert steps(tmp_path / "s") == [8, 6, 4, 2]
    assert os.listdir(tmp_path / "out") == ["checkpoint-8"], "the Trainer's own rule is untouched"
    with Store(tmp_path / "s") as store:
        commit = store.resolve("step:4")
        assert (commit.holds, "loss" in commit.metrics, commit.config["max_steps"]) == ("full", True, 8)
        folder = restore_folder(store, "step:4", tmp_path / "back")
    again = Losses()
    resumed = trainer(tmp_path / "again", DeltackptCallback(tmp_path / "s"), again)
    resumed.train(resume_from_checkpoint=folder)
    assert again.told == {step: loss for step, loss in losses.told.items() if step > 4}
    assert equal(weights(whole), weights(resumed))
    assert steps(tmp_path / "s") == [8, 6, 4, 2]
    with Store(tmp_path / "s") as store:
        assert [name for name in store.branches() if name.startswith("abandoned/")], "the line before has a name"
        model = GPT2LMHeadModel.from_pretrained(restore_folder(store, "main", tmp_path / "last"))
    assert equal(weights(whole), dict(model.state_dict()))


def test_the_best_model_is_loaded_at_the_end_as_ever(tmp_path: Path) -> None:
    choice = {
        "load_best_model_at_end": True,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "metric_for_best_model": "loss",
    }
    plain = trainer(tmp_path / "a", **choice)
    plain.train()
    kept = trainer(tmp_path / "b", DeltackptCallback(tmp_path / "s"), **choice)
    kept.train()
    assert equal(weights(plain), weights(kept))
    assert kept.state.best_model_checkpoint is not None
    with Store(tmp_path / "s") as store:
        best = store.best("min:eval_loss")
        assert best.step == kept.state.best_global_step
        assert equal(dict(store.load(best, part="model")), weights(kept))


def test_a_checkpoint_on_a_signal_reaches_the_store_through_the_mixin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Preempted(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **live: Any) -> None:
            if state.global_step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    class AtOnce(threading.Timer):
        """The grace period of the Trainer is three seconds, in which this training would end."""

        def start(self) -> None:
            self.function()

    monkeypatch.setattr("transformers.trainer_jit_checkpoint.threading.Timer", AtOnce)
    made = trainer(
        tmp_path,
        DeltackptCallback(tmp_path / "s"),
        Preempted(),
        kind=MixedIn,
        save_steps=100,
        enable_jit_checkpoint=True,
    )
    made.train()
    assert made.state.global_step < 8
    assert steps(tmp_path / "s") == [3], "the steps that were complete"
    with Store(tmp_path / "s") as store:
        rest = trainer(tmp_path / "rest", DeltackptCallback(tmp_path / "s"), kind=MixedIn, save_steps=100)
        rest.train(resume_from_checkpoint=restore_folder(store, "main", tmp_path / "back"))
    assert rest.state.global_step == 8


def test_two_ranks_save_once_and_every_rank_goes_on_where_it_stood(tmp_path: Path) -> None:
    def run(*resume: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        here = Path(__file__).parent
        ranks = [
            subprocess.Popen(
                [sys.executable, here / "hf_trainee.py", str(rank), port, tmp_path, "6", *resume],
                env={**os.environ, "PYTHONPATH": str(here.parents[1])},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in (0, 1)
        ]
        said = [errors for _, errors in outputs(ranks)]
        assert [rank.returncode for rank in ranks] == [0, 0], said

    run()
    with Store(tmp_path / "s") as store:
        assert [commit.step for commit in store.log("main")] == [6, 4, 2]
        state = store.load("step:4")
        assert list(state["rng"]) == ["0", "1"]
        assert {"rng_state_0.pth", "rng_state_1.pth", "trainer_state.json"} <= set(state["folder"])
        back = restore_folder(store, "step:4", tmp_path / "back")
    run(back)
    whole, again = (torch.load(tmp_path / f"end-{resumed}.pt", weights_only=True) for resumed in (0, 1))
    assert equal(whole, again)


class Sharding(GPT2LMHeadModel):
    """Too large for one file, by a limit that fits a test."""

    def save_pretrained(self, *arguments: Any, **options: Any) -> Any:
        return super().save_pretrained(*arguments, **{**options, "max_shard_size": "40KB"})


def sharding(model: Any) -> Any:
    model.__class__ = Sharding
    return model


def test_a_checkpoint_in_several_files_is_committed_as_it_is(tmp_path: Path) -> None:
    losses = Losses()
    whole = trainer(tmp_path, DeltackptCallback(tmp_path / "s"), losses, around=sharding)
    whole.train()
    assert steps(tmp_path / "s") == [8, 6, 4, 2]
    with Store(tmp_path / "s") as store:
        commit = store.resolve("step:4")
        assert (commit.holds, commit.config["max_steps"], "loss" in commit.metrics) == ("full", 8, True)
        folder = restore_folder(store, "step:4", tmp_path / "back")
    assert "model.safetensors.index.json" in os.listdir(folder)
    again = Losses()
    resumed = trainer(tmp_path / "again", DeltackptCallback(tmp_path / "s"), again, around=sharding)
    resumed.train(resume_from_checkpoint=folder)
    assert again.told == {step: loss for step, loss in losses.told.items() if step > 4}
    assert equal(weights(whole), weights(resumed))
    assert steps(tmp_path / "s") == [8, 6, 4, 2]
    with pytest.raises(InvalidInputError, match="branch 'main' has commits already"):
        trainer(tmp_path / "third", DeltackptCallback(tmp_path / "s"), around=sharding).train()


def test_an_adapter_is_committed_with_its_folder_and_goes_on(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")

    def adapted(model: Any) -> Any:
        torch.manual_seed(5)
        return peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True))

    whole = trainer(tmp_path, DeltackptCallback(tmp_path / "s", keep=Keep(last=3)), around=adapted)
    whole.train()
    assert steps(tmp_path / "s") == [8, 6, 4]
    with Store(tmp_path / "s") as store:
        folder = restore_folder(store, "step:4", tmp_path / "back")
        assert {"adapter_model.safetensors", "adapter_config.json", "optimizer.pt"} <= set(os.listdir(folder))
        assert store.resolve("step:4").logical_bytes < 200_000, "the base is not stored"
    resumed = trainer(tmp_path / "again", DeltackptCallback(tmp_path / "s"), around=adapted)
    resumed.train(resume_from_checkpoint=folder)
    assert equal(weights(whole), weights(resumed))


def test_only_the_policy_deletes_in_the_store(tmp_path: Path) -> None:
    keep = Keep(last=2, optimizer=1)
    trainer(tmp_path, DeltackptCallback(tmp_path / "s", keep=keep), save_total_limit=None).train()
    assert sorted(os.listdir(tmp_path / "out")) == [f"checkpoint-{step}" for step in (2, 4, 6, 8)]
    with Store(tmp_path / "s") as store:
        assert [(commit.step, commit.holds) for commit in store.log("main")] == [(8, "full"), (6, "weights-only")]


@pytest.mark.parametrize("around", [lambda model: model, sharding], ids=["a snapshot", "a folder"])
def test_a_step_restored_among_the_trainers_own_is_as_old_as_it_is(tmp_path: Path, around: Any) -> None:
    """The Trainer deletes the oldest by the time on the disk."""
    trainer(tmp_path, DeltackptCallback(tmp_path / "s"), max_steps=6, around=around).train()
    with Store(tmp_path / "s") as store:
        restore_folder(store, "step:2", tmp_path / "out" / "checkpoint-2")
    transformers.trainer_utils.rotate_checkpoints(output_dir=str(tmp_path / "out"), save_total_limit=1, use_mtime=True)
    assert os.listdir(tmp_path / "out") == ["checkpoint-6"]


def test_half_a_checkpoint_of_a_trainer_that_was_killed_is_in_no_commit(tmp_path: Path) -> None:
    class Killed(TrainerCallback):
        """Between the model and the rest of the second checkpoint."""

        def on_step_end(self, args: Any, state: Any, control: Any, **live: Any) -> None:
            if state.global_step == 4:
                (tmp_path / "out" / "checkpoint-4").mkdir()
                (tmp_path / "out" / "checkpoint-4" / "model.safetensors").write_bytes(b"half")
                raise ZeroDivisionError

    saving = DeltackptCallback(tmp_path / "s")
    with pytest.raises(ZeroDivisionError):
        trainer(tmp_path, saving, Killed()).train()
    saving.on_train_end(None, None, None)  # As at the end of the program: until what was taken is durable.
    rest = trainer(tmp_path, DeltackptCallback(tmp_path / "s"))
    with pytest.raises(Exception, match=r"(?i)header"):
        rest.train(resume_from_checkpoint=True)
    assert steps(tmp_path / "s") == [2]
    with Store(tmp_path / "s") as store:
        folder = restore_folder(store, "main", tmp_path / "back")
    rest = trainer(tmp_path / "rest", DeltackptCallback(tmp_path / "s"))
    rest.train(resume_from_checkpoint=folder)
    assert steps(tmp_path / "s") == [8, 6, 4, 2]


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "out" / "checkpoint-store"
    with pytest.raises(InvalidInputError, match="where the Trainer deletes"):
        trainer(tmp_path, DeltackptCallback(inside)).train()
    trainer(tmp_path, DeltackptCallback(tmp_path / "s"), max_steps=2).train()
    with pytest.raises(InvalidInputError, match="branch 'main' has commits already"):
        trainer(tmp_path / "b", DeltackptCallback(tmp_path / "s"), max_steps=2).train()
    assert not list((tmp_path / "b").glob("out/checkpoint-*")), "which is said before the first step"
    with Store(tmp_path / "s") as store:
        restore_folder(store, "main", tmp_path / "back")
        with pytest.raises(InvalidInputError, match="exists"):
            restore_folder(store, "main", tmp_path / "back")
        restore_folder(store, "main", tmp_path / "back", force=True)


def test_one_line_begins_a_training_and_takes_it_up_again_and_again(tmp_path: Path) -> None:
    def until(step: int, losses: Losses) -> Any:
        made = trainer(tmp_path, DeltackptCallback(tmp_path / "s"), losses, Ends(step))
        made.train(resume_from_checkpoint=resume_folder(tmp_path / "s", tmp_path / "resume"))
        return made

    whole, losses = Losses(), Losses()
    expected = trainer(tmp_path / "other", whole)
    expected.train()
    until(3, losses)
    assert steps(tmp_path / "s") == [2]
    until(7, losses)
    assert steps(tmp_path / "s") == [6, 4, 2]
    assert equal(weights(expected), weights(until(8, losses)))
    assert losses.told == whole.told
    assert steps(tmp_path / "s") == [8, 6, 4, 2]


def test_what_is_taken_up_is_full_and_healthy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert resume_folder(tmp_path / "s", tmp_path / "resume") is None
    trainer(tmp_path, DeltackptCallback(tmp_path / "s"), max_steps=4).train()
    with Store(tmp_path / "s") as store:
        store.commit({"model": {"w": torch.tensor([torch.nan])}}, step=5)
    folder = resume_folder(tmp_path / "s", tmp_path / "resume")
    assert folder is not None
    assert json.loads(Path(folder, "trainer_state.json").read_text())["global_step"] == 4
    assert "the last healthy commit" in caplog.text
