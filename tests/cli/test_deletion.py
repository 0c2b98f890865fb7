"""The commands that take away and bring back, from the outside."""

from __future__ import annotations

import re

import pytest
from cli_program import Cli

from deltackpt import Store


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six steps; the loss is lowest at step 2; step 1 is tagged."""
    np = pytest.importorskip("numpy")
    store = Store.init(tmp_path_factory.mktemp("deletion") / "store")
    noise = np.random.default_rng(3)
    for step in range(1, 7):
        moment = noise.standard_normal(120_000).astype(np.float32)
        state = {"model": {"w": np.arange(100.0)}, "optimizer": {"m": moment}}
        store.commit(state, step=step, metrics={"loss": 1 + abs(step - 2)}, tags=["first"] if step == 1 else [])
    return store


def test_a_dry_run_tells_all_and_changes_nothing(cli: Cli, run: Store) -> None:
    policy = ["--keep-last", "2", "--keep-best", "min:loss", "--drop-optimizer-older-than", "1"]
    planned = cli("--store", run.path, "prune", *policy, "--dry-run")
    rows = [re.sub(r" [0-9a-f]{12} ", " ", line) for line in planned.out.splitlines()]
    assert [re.sub(" +", " ", row) for row in rows[1:-1]] == [
        "keep (step 6) last 2, head of main",
        "thin (step 5) last 2",
        "thin (step 2) best min:loss",
        "thin (step 1) tag first",
        "delete (step 4)",
        "delete (step 3)",
    ]
    assert rows[-1].startswith("would delete 2 commits, thin 3; gc frees ")
    assert len(list(run.log("main"))) == 6
    document = cli("--store", run.path, "prune", *policy, "--json").document
    freed = cli("--store", run.path, "gc", "--json").document
    assert freed["freed_bytes"] == document["freed_bytes"] > 0
    assert [commit.step for commit in run.log("main")] == [6, 5, 2, 1]


def test_deleted_and_brought_back_and_too_late(cli: Cli, run: Store) -> None:
    deleted = cli("--store", run.path, "delete", "step:3", "--json").document["deleted"]
    assert cli("--store", run.path, "show", deleted).code == 3
    assert "bring it back" in cli("--store", run.path, "show", deleted).err
    assert cli("--store", run.path, "undelete", deleted[:10]).out == f"brought back {deleted[:12]} (step 3)\n"
    cli("delete", f"{run.path}#step:3")
    assert cli("undelete", f"{run.path}#{deleted[:8]}").out == f"brought back {deleted[:12]} (step 3)\n"
    cli("--store", run.path, "delete", "step:3")
    cli("--store", run.path, "gc")
    late = cli("--store", run.path, "undelete", deleted)
    assert (late.code, late.err.count("\n")) == (3, 1)
    assert "purged" in late.err


def test_the_head_of_a_branch_is_not_deleted(cli: Cli, run: Store) -> None:
    refused = cli("--store", run.path, "delete", "main")
    assert refused.code == 2
    assert "branch 'main' points to it" in refused.err


def test_the_oplog_and_undo(cli: Cli, run: Store) -> None:
    cli("--store", run.path, "tag", "best", "min:loss")
    newest = cli("--store", run.path, "oplog", "-n", "1", "--json").document[0]
    assert newest["operation"] == "ref"
    assert cli("--store", run.path, "undo").out.startswith("undone:\n")
    assert set(run.tags()) == {"first"}
    assert cli("--store", run.path, "undo", str(newest["number"])).code == 4, "it was taken back already"
    assert cli("--store", run.path, "undo", "999").code == 3


def test_a_policy_that_makes_no_sense_is_one_line(cli: Cli, run: Store) -> None:
    refused = cli("--store", run.path, "prune", "--keep-within", "soon")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
