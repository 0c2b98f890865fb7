"""What a commit records for a later reader."""

from __future__ import annotations

import copy
import datetime
import enum
import hashlib
import pickle
import platform
import socket
import subprocess
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from disks import truth

import deltackpt
from deltackpt import Commit, Store
from deltackpt.history import provenance


def test_a_commit_records_what_it_was_told(store: Store, trained: list[dict[str, Any]]) -> None:
    before = datetime.datetime.now(datetime.UTC)
    commit = store.commit(
        trained[0],
        step=1000,
        metrics={"val_loss": 2.34, "accuracy": np.float32(0.5), "grad": torch.tensor(3)},
        message="after the warm-up",
        tags=["warmup-done", "best"],
        config={"lr": 3e-4, "layers": [1, 2]},
        meta={"note": "hello"},
    )
    assert commit == store.resolve("main") == store.resolve("best") == store.resolve("warmup-done")
    assert (commit.step, commit.message, commit.branch, commit.parents) == (1000, "after the warm-up", "main", ())
    assert commit.metrics == {"val_loss": 2.34, "accuracy": 0.5, "grad": 3.0}
    assert all(type(value) is float for value in commit.metrics.values())
    assert before <= commit.time <= datetime.datetime.now(datetime.UTC)
    assert (commit.config, commit.meta) == ({"lr": 3e-4, "layers": [1, 2]}, {"note": "hello"})
    assert (commit.healthy, commit.nonfinite, commit.holds) == (True, (), "full")
    assert [part.name for part in commit.parts] == ["", "model", "optimizer", "scheduler", "rng"]
    assert commit.description == f"{commit.id.short} (step 1000)"


def test_the_next_commit_has_it_as_parent(store: Store) -> None:
    first = store.commit({"n": 1}, step=1)
    second = store.commit({"n": 2}, step=2)
    assert second.parents == (first.id,)
    assert list(store.log("main")) == [second, first]


def test_logical_bytes_are_the_plain_bytes_of_the_tensors(store: Store) -> None:
    state = {"m": {"w": torch.ones(100, 100), "b": torch.ones(3, dtype=torch.bfloat16)}, "x": np.arange(5)}
    assert store.commit(state, step=1).logical_bytes == 40_000 + 6 + 40


def test_stored_bytes_are_what_the_store_grew_by(store: Store, trained: list[dict[str, Any]]) -> None:
    for state in [*trained, trained[-1]]:
        before = truth(store)
        commit = store.commit(state, metrics={"loss": state["loss"]})
        new = {name: data for name, data in truth(store).items() if name not in before}
        grown = sum(map(len, new.values()))
        packs = sum(len(data) for name, data in new.items() if name.startswith("packs/"))
        # The record around the commit (its number, checksum, the moves of refs, the list of packs) is not counted.
        assert packs <= commit.stored_bytes <= grown
        assert grown - commit.stored_bytes < 500


def test_the_environment_of_the_training_code(store: Store) -> None:
    environment = store.commit({"n": 1}).environment
    assert environment["python"] == platform.python_version()
    assert environment["host"] == socket.gethostname()
    assert environment["torch"] == torch.__version__
    assert environment["numpy"] == np.__version__
    assert environment.get("deltackpt", "0+unknown") == deltackpt.__version__


SCRIPT = """
import sys, deltackpt
print(deltackpt.Store(sys.argv[1]).commit({"n": int(sys.argv[2])}).environment.get("git"))
"""


def test_the_git_commit_of_the_training_code(store: Store, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *identity, *words], cwd=code, check=True, capture_output=True, text=True).stdout

    def recorded(number: int) -> str:
        command = [sys.executable, "-c", SCRIPT, store.path, str(number)]
        return subprocess.run(command, cwd=code, check=True, capture_output=True, text=True).stdout.strip()

    assert recorded(1) == "None"
    git("init", "-q")
    (code / "train.py").write_text("pass")
    git("add", ".")
    git("commit", "-qm", "first")
    head = git("rev-parse", "HEAD").strip()
    assert recorded(2) == head
    (code / "train.py").write_text("pass # changed")
    assert recorded(3) == f"{head}-dirty"
    # The program counts, not where it was started from.
    (code / "train.py").write_text(SCRIPT)
    (tmp_path / "elsewhere").mkdir()
    command = [sys.executable, str(code / "train.py"), store.path, "4"]
    started = subprocess.run(command, cwd=tmp_path / "elsewhere", check=True, capture_output=True, text=True)
    assert started.stdout.strip() == f"{head}-dirty"


def test_a_program_that_is_installed_is_no_training_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path)
    for program in (f"{sys.prefix}/bin/deltackpt", deltackpt.__file__, None):
        monkeypatch.setattr(sys.modules["__main__"], "__file__", program, raising=False)
        assert list(provenance._folders_of_code()) == [here]
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/work/run/train.py", raising=False)
    assert list(provenance._folders_of_code()) == ["/work/run", here]


@pytest.mark.parametrize(
    ("parts", "holds"),
    [
        ("model optimizer rng", "full"),
        ("model optim_state", "full"),
        ("net opt", "full"),
        ("gen disc opt_g opt_d", "full"),
        ("generator discriminator g_optimizer d_optimizer", "full"),
        ("model optimizerStates", "full"),
        ("model optimiser", "full"),
        ("model", "weights-only"),
        ("model scheduler", "weights-only"),
        ("ema model", "weights-only"),
        ("model_optional", "weights-only"),
        ("option", "weights-only"),
        ("optimizer", "partial"),
        ("optimizer rng", "partial"),
        ("rng", "partial"),
        ("rng_state lr_scheduler grad_scaler train_loader", "partial"),
        ("", "partial"),
    ],
)
def test_what_a_commit_holds(store: Store, parts: str, holds: str) -> None:
    state: dict[str, Any] = {part: {"x": torch.ones(2)} for part in parts.split()}
    assert store.commit({**state, "step": 5}, step=1).holds == holds


def test_an_optimizer_counts_before_its_first_step(store: Store) -> None:
    model = torch.nn.Linear(2, 3)
    for kind in (torch.optim.SGD, torch.optim.AdamW):
        state = {"model": model.state_dict(), "optimizer": kind(model.parameters(), lr=0.1).state_dict()}
        assert store.commit(state).holds == "full"


def test_a_tensor_beside_the_parts_is_no_model(store: Store) -> None:
    assert store.commit({"optimizer": {"m": torch.ones(2)}, "seen": torch.ones(2)}).holds == "partial"
    assert store.commit({"rng": {"cpu": torch.ones(2)}, "seen": torch.ones(2)}).holds == "partial"


def test_a_bare_state_dict_holds_weights(store: Store) -> None:
    assert store.commit(torch.nn.Linear(2, 3).state_dict(), step=1).holds == "weights-only"


@dataclass
class Config:
    lr: float
    data: Path


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (Config(0.1, Path("/data")), {"lr": 0.1, "data": "/data"}),
        (Namespace(lr=0.1, seed=None), {"lr": 0.1, "seed": None}),
        ({30: 0.1, 60: 0.01, (1, 2): None}, {30: 0.1, 60: 0.01, (1, 2): None}),
        ({"lr": np.float32(0.5), "n": np.int64(7), "t": torch.tensor(2.5)}, {"lr": 0.5, "n": 7, "t": 2.5}),
        ({"dtype": torch.bfloat16, "device": torch.device("cpu")}, {"dtype": "torch.bfloat16", "device": "cpu"}),
        (["free", {"form": True}], ["free", {"form": True}]),
        ({"range": range(3), "set": {7}, "raw": bytearray(b"x")}, {"range": "range(0, 3)", "set": [7], "raw": b"x"}),
        ({"when": datetime.date(2026, 1, 2), "size": torch.Size([2, 3])}, {"when": "2026-01-02", "size": [2, 3]}),
        ({"nested": Namespace(inner=Config(0.5, Path("d")))}, {"nested": {"inner": {"lr": 0.5, "data": "d"}}}),
        ({"level": enum.IntEnum("Level", "LOW HIGH").HIGH, "dtype": np.dtype("f4")}, {"level": 2, "dtype": "float32"}),
        (None, {}),
    ],
)
def test_configurations_come_back_as_plain_data(store: Store, given: Any, kept: Any) -> None:
    commit = store.commit({"n": 1}, config=given, meta=given)
    assert (commit.config, commit.meta) == (kept, kept)


def test_equal_configurations_are_stored_once(store: Store) -> None:
    config = {f"option-{number}": hashlib.sha256(bytes([number])).hexdigest() for number in range(100)}
    first = store.commit({"n": 1}, step=1, config=config)
    second = store.commit({"n": 2}, step=2, config=dict(config))
    assert first.config == second.config == config
    assert first.stored_bytes - second.stored_bytes > 3000


def test_the_log_walks_one_line_or_everything(store: Store) -> None:
    a = store.commit({"n": 1}, step=1)
    b = store.commit({"n": 2}, step=2)
    c = store.commit({"n": 3}, step=2, branch="dev", parent=a)
    d = store.commit({"n": 4}, step=3)
    assert list(store.log("main")) == [d, b, a]
    assert list(store.log("dev")) == [c, a]
    assert list(store.log(b)) == [b, a]
    assert list(store.log()) == [d, c, b, a]


def test_commits_can_be_compared_and_kept_in_sets(store: Store) -> None:
    commit = store.commit({"n": 1})
    again = Store(store.path).resolve("main")
    assert isinstance(again, Commit)
    assert commit == again
    assert {commit.id: 1}[again.id] == 1


def test_a_commit_travels_without_its_store(store: Store) -> None:
    commit = store.commit({"n": 1}, step=1, config={"lr": 0.1}, meta={"note": "x"})
    for copied in (pickle.loads(pickle.dumps(commit)), copy.deepcopy(commit), copy.copy(commit)):
        assert copied == commit
        assert (copied.config, copied.meta, copied.environment) == (commit.config, commit.meta, commit.environment)
        assert store.load(copied)["n"] == 1
