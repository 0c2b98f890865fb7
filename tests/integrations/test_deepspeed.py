"""DeepSpeed, the real one, on two ranks: its checkpoints are commits, and any of them can be gone on from."""

from __future__ import annotations

import filecmp
import os
import re
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from environments import DEEPSPEED, ROOT
from patience import outputs

from deltackpt import Store

pytestmark = DEEPSPEED.wanted
HERE = Path(__file__).parent
TRAINEE = HERE / "deepspeed_trainee.py"
STAGES = (0, 1, 2, 3)

Outcome = tuple[int, list[list[str]], str]


def train(folder: Path, stages: Sequence[int], steps: int, *options: str) -> list[Outcome]:
    """Exit code, what was told of each stage, and stderr, of each of two ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = DEEPSPEED.made(Path(os.environ[DEEPSPEED.variable]).absolute())
    chosen = ",".join(map(str, stages))
    started = [
        subprocess.Popen(
            [str(part) for part in (python, TRAINEE, rank, 2, port, folder, chosen, steps, *options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for rank in range(2)
    ]
    told = outputs(started)
    return [(process.returncode, by_stage(out), err) for process, (out, err) in zip(started, told, strict=True)]


def by_stage(out: str) -> list[list[str]]:
    """Losses and digest of each stage, of all that a rank told."""
    _, *stages = re.split(r"^stage \d\n", out, flags=re.MULTILINE)
    return [re.findall(r"^(?:\d|end).*", told, flags=re.MULTILINE) for told in stages]


def same_folders(one: Path, other: Path) -> bool:
    names = sorted(path.name for path in one.iterdir())
    same, _, _ = filecmp.cmpfiles(one, other, names, shallow=False)
    return same == names == sorted(path.name for path in other.iterdir())


def assert_commits(folder: Path, stage: int) -> None:
    """Every tag of a run of six steps is a commit of the same bytes."""
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


def assert_went_on(folder: Path) -> None:
    """A run from the second step to the eighth left the other line, and of its own folders the newest."""
    with Store(folder / "store") as store:
        assert [commit.message for commit in store.log("main")] == [f"global_step{step}" for step in (8, 6, 4, 2)]
        assert [name for name in store.branches() if name.startswith("abandoned/")]
    left = {path.name for path in (folder / "again").iterdir() if path.is_dir()}
    assert left == {"global_step2", "global_step6", "global_step8"}
    assert (folder / "again" / "latest").read_text() == "global_step8"


def test_every_tag_is_a_commit_and_a_run_goes_on_from_any_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    folders = [tmp_path / f"stage-{stage}" for stage in STAGES]
    before = train(tmp_path, STAGES, 6, "saved_16_bit=True")
    assert [code for code, _, _ in before] == [0, 0], before
    for stage, folder in zip(STAGES, folders, strict=True):
        (folder / "out").mkdir()
        assert_commits(folder, stage)
    told = DEEPSPEED.run(HERE / "deepspeed_consolidated.py", *folders[2:]).splitlines()
    assert [line for line in told if line.startswith("stage-")] == [
        *(f"stage-{stage}: the same float32 weights" for stage in STAGES[2:])
    ]

    after = train(tmp_path, STAGES, 8, "resume='step:2'", "save_dir='again'", "folders='newest'")
    assert [code for code, _, _ in after] == [0, 0], after
    for (_, whole, _), (_, again, _) in zip(before, after, strict=True):
        assert [told[2:6] for told in whole] == [told[:4] for told in again]
        assert [len(told) for told in whole] == [7] * len(STAGES)
    for folder in folders:
        assert_went_on(folder)


def test_a_run_that_loaded_nothing_does_not_go_on_a_branch_with_commits(tmp_path: Path) -> None:
    with Store.init(tmp_path / "stage-1" / "store") as store:
        store.commit({"step": 1})
    outcomes = train(tmp_path, [1], 2, "save_dir='anew'")
    assert [code for code, _, _ in outcomes] == [1, 1]
    reason = "branch 'main' has commits already; resume from one of them, or choose another branch"
    assert all(reason in said for _, _, said in outcomes)
    assert not list((tmp_path / "stage-1" / "anew").iterdir())


def test_what_one_rank_cannot_write_is_an_error_on_every_rank(tmp_path: Path) -> None:
    outcomes = train(tmp_path, [1], 6, "fails_at=4")
    assert [code for code, _, _ in outcomes] == [1, 1]
    for _, _, said in outcomes:
        assert "rank 1: " in said
        assert "optim_states.pt' could not be written: " in said
        assert "'global_step4' is not committed" in said
    with Store(tmp_path / "stage-1" / "store") as store:
        assert [commit.step for commit in store.log("main")] == [2]
    assert (tmp_path / "stage-1" / "ckpts" / "latest").read_text() == "global_step2"


def test_what_is_missing_when_it_is_to_be_committed_is_named(tmp_path: Path) -> None:
    told = DEEPSPEED.run(HERE / "deepspeed_by_hand.py", tmp_path).splitlines()
    path = "FOLDER/global_step9/mp_rank_00_model_states.pt"
    assert told == [
        "['global_step2', 'global_step3']",
        f"rank 0 does not see '{path}' as rank 0 has written it; save to a folder that all ranks share",
        "'FOLDER/nowhere/mp_rank_00_model_states.pt'",
        str([(None, "best"), (None, "best"), *((step, f"global_step{step}") for step in (3, 2, 1, 0))]),
        "best best",
        "5.0",
        *told[6:],
    ]
    assert "exists" in told[6]
    assert told[7].endswith("is of no tag of DeepSpeed")
    assert told[8] == "DeepSpeed is configured to save with NoneType; leave its checkpoint writer out"
