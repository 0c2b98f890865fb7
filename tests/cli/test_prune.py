"""A story for each option of ``prune``, from the outside."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_program import Cli, Outcome

from deltackpt import Keep, Store


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Steps 1 to 6 of ``main``, the loss lowest at step 2 and then 3, step 1 tagged ``v1``; ``dev`` from step 2 on."""
    store = Store.init(tmp_path_factory.mktemp("prune") / "store")
    noise = np.random.default_rng(3)
    for step in range(1, 7):
        moment = noise.standard_normal(120_000).astype(np.float32)
        state = {"model": {"w": np.arange(100.0)}, "optimizer": {"m": moment}}
        store.commit(state, step=step, metrics={"loss": 1 + abs(step - 2.4)}, tags=["v1"] if step == 1 else [])
    for step in (13, 14):
        store.commit(
            {"model": {"w": np.arange(step)}}, step=step, branch="dev", parent="step:2" if step == 13 else None
        )
    store.close()
    return store


@pytest.fixture
def run(original: Store, tmp_path: Path) -> str:
    return str(shutil.copytree(original.path, tmp_path / "run"))


def prune(cli: Cli, run: str, *options: str) -> Outcome:
    return cli("--store", run, "prune", *options)


def steps(outcome: Outcome, verb: str) -> list[int]:
    """The steps of the rows that begin with ``verb``."""
    return [int(found) for found in re.findall(rf"^{verb} .*\(step (\d+)\)", outcome.out, re.MULTILINE)]


def reasons(outcome: Outcome) -> dict[int, str]:
    return {int(s): why for s, why in re.findall(r"^\w+ .*\(step (\d+)\) +(.*)$", outcome.out, re.MULTILINE)}


@pytest.mark.parametrize(
    ("options", "kept", "why"),
    [
        (["--keep-last", "2"], [14, 13, 6, 5, 1], {5: "last 2", 1: "tag v1", 6: "last 2, head of main"}),
        (["--keep-every", "3"], [14, 6, 3, 1], {3: "every 3"}),
        (["--keep-within", "1h"], [14, 13, 6, 5, 4, 3, 2, 1], {4: "within 1h"}),
        (["--keep-best", "min:loss"], [14, 6, 2, 1], {2: "best min:loss"}),
        (["--keep-best", "min:loss=2"], [14, 6, 3, 2, 1], {3: "best min:loss"}),
        (["--keep-best", "max:loss", "--keep-best", "min:loss"], [14, 6, 2, 1], {6: "best max:loss, head of main"}),
        (["--keep-milestone", "4", "--keep-milestone", "5"], [14, 6, 5, 4, 1], {4: "milestone"}),
        (["--keep-tag", "v*"], [14, 6, 1], {1: "tagged, tag v1"}),
        (["--keep-last", "1", "--branch", "dev"], [14, 6, 5, 4, 3, 2, 1], {2: "on main", 14: "last 1, head of dev"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and isinstance(value[0], str) else "",
)
def test_what_stays_and_why(cli: Cli, run: str, options: list[str], kept: list[int], why: dict[int, str]) -> None:
    done = prune(cli, run, *options)
    assert done.code == 0
    assert steps(done, "keep") == kept
    assert {step: reasons(done)[step] for step in why} == why
    with Store(run) as store:
        assert sorted((c.step for c in store.log()), reverse=True) == sorted(kept, reverse=True)


def test_the_optimizer_of_older_ones(cli: Cli, run: str) -> None:
    done = prune(cli, run, "--drop-optimizer-older-than", "2")
    assert (steps(done, "thin"), steps(done, "delete")) == ([4, 3, 2, 1], [])
    with Store(run) as store:
        assert [commit.holds for commit in store.log("main")] == ["full"] * 2 + ["weights-only"] * 4


def test_a_tag_of_the_policy_stays_whole(cli: Cli, run: str) -> None:
    done = prune(cli, run, "--keep-every", "1", "--keep-tag", "v*", "--drop-optimizer-older-than", "1")
    assert 1 not in steps(done, "thin")


def test_a_budget(cli: Cli, run: str) -> None:
    done = prune(cli, run, "--max-size", "1.5MB", "--json").document
    assert done["deleted"] == []
    assert len(done["thinned"]) == len(done["squeezed"]) > 0
    assert done["left_bytes"] <= 1_500_000
    assert done["excess_bytes"] == 0
    assert cli("--store", run, "gc", "--json").document["freed_bytes"] == done["freed_bytes"]


def test_a_budget_that_cannot_be_met(cli: Cli, run: str) -> None:
    done = prune(cli, run, "--max-size", "1kB")
    assert steps(done, "keep") == [14, 6, 1]
    assert {reasons(done)[step] for step in (2, 3, 4, 5, 13)} == {"to fit the budget"}
    assert re.search(r"^still [\d.]+ [kM]B over the budget: ", done.out, re.MULTILINE)


def test_a_dry_run_changes_nothing_and_tells_the_exact_bytes(cli: Cli, run: str) -> None:
    planned = prune(cli, run, "--keep-last", "1", "--dry-run")
    with Store(run) as store:
        assert len(list(store.log())) == 8
    assert planned.lines[0] == "keep the newest healthy commit of each branch"
    document = prune(cli, run, "--keep-last", "1", "--dry-run", "--json").document
    freed = document["freed_bytes"]
    assert planned.lines[-1].startswith("would delete 5 commits, thin 0; gc frees ")
    assert planned.lines[-1].endswith(f"({freed:,} bytes)")
    assert prune(cli, run, "--keep-last", "1", "--json").document == {**document, "dry_run": False}
    assert cli("--store", run, "gc", "--json").document["freed_bytes"] == freed > 0


def test_a_saved_policy_is_the_one_without_options(cli: Cli, run: str) -> None:
    refused = prune(cli, run)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "nothing says what to keep" in refused.err
    assert prune(cli, run, "--keep-last", "2", "--keep-best", "min:loss=2", "--save").code == 0
    with Store(run) as store:
        assert store.policy == Keep(last=2, best={"min:loss": 2})
        store.commit({"model": {"w": 1}}, step=7, metrics={"loss": 9})
    assert steps(prune(cli, run), "delete") == [5]
    assert steps(prune(cli, run, "--branch", "main", "--dry-run"), "keep") == [7, 14, 13, 6, 3, 2, 1]
    assert steps(prune(cli, run, "--keep-last", "1", "--dry-run"), "keep") == [7, 14, 1]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--keep-within", "soon"], "keep within: a duration such as"),
        (["--keep-best", "loss"], "keep best is min:METRIC or max:METRIC, not 'loss'"),
        (["--max-size", "much"], "keep max_size: a size such as"),
        (["--keep-last", "0"], "0 is not in the range x>=1"),
        (["--save"], "--save keeps the options that say what to keep"),
        (["--keep-last", "1", "--save", "--dry-run"], "--save keeps the options that say what to keep"),
    ],
)
def test_what_makes_no_sense_is_one_line(cli: Cli, run: str, options: list[str], complaint: str) -> None:
    refused = prune(cli, run, *options)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert complaint in refused.err
    with Store(run) as store:
        assert len(list(store.log())) == 8


def test_a_branch_that_is_not_there(cli: Cli, run: str) -> None:
    refused = prune(cli, run, "--keep-last", "1", "--branch", "dve")
    assert refused.code == 3
    assert "did you mean 'dev'?" in refused.err


def test_the_log_lists_what_can_be_brought_back(cli: Cli, run: str) -> None:
    listed = ("--store", run, "log", "--deleted")
    assert cli(*listed).out == "nothing that was deleted can be brought back\n"
    prune(cli, run, "--keep-last", "1", "--keep-every", "5", "--drop-optimizer-older-than", "1")
    cli("--store", run, "branch", "-d", "dev")
    rows = [re.sub(r"[0-9a-f]{12}", "ID", re.sub(r"  +", "  ", row)) for row in cli(*listed).lines]
    assert [re.sub(r"\d{4}-.*:\d\d", "TIME", row) for row in rows] == [
        "ID  TIME  step 14  unnamed  deltackpt branch NAME ID",
        "ID  TIME  step 13  deleted  deltackpt undelete ID",
        "ID  TIME  step 5  thinned: optimizer  loss 3.6  deltackpt undelete ID",
        "ID  TIME  step 4  deleted  loss 2.6  deltackpt undelete ID",
        "ID  TIME  step 3  deleted  loss 1.6  deltackpt undelete ID",
        "ID  TIME  step 2  deleted  loss 1.4  deltackpt undelete ID",
        "ID  TIME  step 1  thinned: optimizer  loss 2.4  deltackpt undelete ID",
    ]
    document = cli(*listed, "-n", "2", "--json").document
    assert [(found["step"], found["loss"], found["lost_parts"]) for found in document] == [
        (14, "unnamed", []),
        (13, "deleted", []),
    ]
    assert cli(*listed, "main").code == 2
