"""DeepSpeed, the real one, on two ranks: its checkpoints are commits, and any of them can be gone on from."""

from __future__ import annotations

import filecmp
import os
import socket
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from environments import DEEPSPEED, ROOT

from deltackpt import Store

pytestmark = DEEPSPEED.wanted
HERE = Path(__file__).parent
TRAINEE = HERE / "deepspeed_trainee.py"


Outcomes = list[tuple[int, list[str], str]]
Whole = tuple[Path, Outcomes]


def train(folder: Path, stage: int, steps: int, *options: str) -> Outcomes:
    """Exit code, what was told and stderr of each of two ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = DEEPSPEED.made(Path(os.environ[DEEPSPEED.variable]).absolute())
    started = [
        subprocess.Popen(
            [str(part) for part in (python, TRAINEE, rank, 2, port, folder, stage, steps, *options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=200) for process in started]
    return [
        (process.returncode, [line for line in out.splitlines() if line[:1].isdecimal() or line.startswith("end")], err)
        for process, (out, err) in zip(started, told, strict=True)
    ]


def same_folders(one: Path, other: Path) -> bool:
    names = sorted(path.name for path in one.iterdir())
    same, _, _ = filecmp.cmpfiles(one, other, names, shallow=False)
    return same == names == sorted(path.name for path in other.iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Whole]:
    """A run of six steps with the given ZeRO stage, in a folder that tests may write more to."""

    @cache
    def made(stage: int) -> Whole:
        folder = tmp_path_factory.mktemp(f"stage-{stage}")
        outcomes = train(folder, stage, 6, "saved_16_bit=True")
        assert [code for code, _, _ in outcomes] == [0, 0], outcomes
        return folder, outcomes

    return made


@pytest.mark.parametrize("stage", range(4))
def test_every_tag_is_a_commit_of_the_same_bytes(whole: Callable[[int], Whole], stage: int) -> None:
    folder, _ = whole(stage)
    (folder / "out").mkdir()
    with Store(folder / "store") as store:
        assert [(commit.step, commit.message) for commit in store.log("main")] == [
            *((step, f"global_step{step}") for step in (6, 4, 2))
        ]
        for step in (2, 4, 6):
            store.checkout(f"step:{step}", folder / "out" / f"{step}")
            assert same_folders(folder / "out" / f"{step}", folder / "ckpts" / f"global_step{step}")
        newest = store.resolve("main")
        assert {part.name for part in newest.parts} >= ({"model", "optimizer"} if stage else {"model"})
        assert newest.config["zero_optimization"]["stage"] == stage
    if stage > 1:
        told = DEEPSPEED.run(HERE / "deepspeed_consolidated.py", folder).splitlines()
        assert told[-1] == "the same float32 weights", told


def test_a_run_that_loaded_nothing_does_not_go_on_a_branch_with_commits(whole: Callable[[int], Whole]) -> None:
    folder, _ = whole(1)
    outcomes = train(folder, 1, 2, "save_dir='anew'")
    assert [code for code, _, _ in outcomes] == [1, 1]
    reason = "branch 'main' has commits already; resume from one of them, or choose another branch"
    assert all(reason in said for _, _, said in outcomes)
    assert not list((folder / "anew").iterdir())


@pytest.mark.parametrize("stage", range(4))
def test_a_run_goes_on_from_any_commit_as_if_it_had_never_stopped(whole: Callable[[int], Whole], stage: int) -> None:
    folder, before = whole(stage)
    after = train(folder, stage, 8, "resume='step:2'", "save_dir='again'", "folders='newest'")
    assert [code for code, _, _ in after] == [0, 0], after
    for (_, told, _), (_, again, _) in zip(before, after, strict=True):
        assert again[:4] == told[2:6]
    with Store(folder / "store") as store:
        assert [commit.message for commit in store.log("main")] == [f"global_step{step}" for step in (8, 6, 4, 2)]
        assert [name for name in store.branches() if name.startswith("abandoned/")]
    left = {path.name for path in (folder / "again").iterdir() if path.is_dir()}
    assert left == {"global_step2", "global_step6", "global_step8"}
    assert (folder / "again" / "latest").read_text() == "global_step8"


def test_what_is_missing_when_it_is_to_be_committed_is_named(tmp_path: Path) -> None:
    told = DEEPSPEED.run(HERE / "deepspeed_by_hand.py", tmp_path).splitlines()
    path = "FOLDER/global_step9/mp_rank_00_model_states.pt"
    assert told == [
        "['global_step2', 'global_step3']",
        f"rank 0 does not see '{path}' as rank 0 has written it; save to a folder that all ranks share",
        str([(None, "best"), (None, "best"), *((step, f"global_step{step}") for step in (3, 2, 1, 0))]),
        "best best",
        "5.0",
        *told[5:],
    ]
    assert "exists" in told[5]
    assert told[6].endswith("is of no tag of DeepSpeed")
    assert told[7] == "DeepSpeed is configured to save with NoneType; leave its checkpoint writer out"
