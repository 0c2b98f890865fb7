"""Slips of a user's hand: each is one line that says what next, and nothing has happened."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cli_program import Cli, command_line, environment
from safetensors.numpy import save_file

from deltackpt import Store


@pytest.fixture
def run(cli: Cli) -> Path:
    """The folder of a run, with its store in it, and one checkpoint folder that was committed."""
    here = Path.cwd()
    (here / "checkpoint-5").mkdir()
    save_file({"w": np.arange(6.0)}, here / "checkpoint-5" / "model.safetensors")
    assert cli("init").code == 0
    assert cli("commit", "checkpoint-5", "--step", "5").code == 0
    return here


@pytest.mark.parametrize("path", [".", "..", "{here}", "link"])
def test_a_folder_that_holds_the_store_is_not_committed_to_it(cli: Cli, run: Path, path: str) -> None:
    (run / "link").symlink_to(run)
    done = cli("commit", path.format(here=run))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"holds the store '{run}/.deltackpt' itself; name what lies beside it" in done.err
    assert [commit["step"] for commit in cli("log", "--json").document] == [5]


@pytest.mark.parametrize("path", [".deltackpt", ".deltackpt/packs", ".deltackpt/store.json"])
def test_what_lies_in_the_store_is_not_committed_to_it(cli: Cli, run: Path, path: str) -> None:
    done = cli("commit", path)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"{path}: lies in the store '{run}/.deltackpt' itself; name something outside of it" in done.err


def test_another_store_is_a_folder_like_any_other(cli: Cli, run: Path) -> None:
    Store.init(run / "other").close()
    assert cli("commit", "other", "--branch", "backup").code == 0


@pytest.mark.parametrize("part", [(), ("--part", "model")])
@pytest.mark.parametrize(("name", "format"), [("m.pt", "pt"), ("m.safetensors", "safetensors"), ("m.npz", "npz")])
def test_a_folder_does_not_get_the_name_of_a_file(
    cli: Cli, run: Path, part: tuple[str, ...], name: str, format: str
) -> None:
    done = cli("checkout", "main", *part, "-o", name)
    short = cli("log", "--json").document[0]["id"][:12]
    assert done.code == 2
    assert done.err == (
        f"deltackpt: '{name}' would be a folder: commit {short} (step 5) was made from the folder 'checkpoint-5';"
        f" convert it with --format {format}, or choose another name\n"
    )
    assert not (run / name).exists()
    assert cli("checkout", "main", "--part", "model", "-o", name, "--format", format).code == 0
    assert (run / name).is_file()


def test_the_best_by_a_misspelt_metric_is_not_a_policy(cli: Cli, history: Store) -> None:
    done = cli("--store", history.path, "prune", "--keep-best", "min:los")
    assert (done.code, done.err) == (3, "deltackpt: no commit has a metric 'los'; metrics are 'loss'\n")
    assert len(list(history.log())) == 4
    assert cli("--store", history.path, "prune", "--keep-best", "min:loss", "--dry-run").code == 0


def test_a_line_without_a_name_says_so(cli: Cli, history: Store) -> None:
    history.delete_branch("dev")
    history.delete_tag("try")
    lost, *named = cli("--store", history.path, "log").lines
    assert "  step 25  " in lost
    assert lost.endswith("  (unnamed)")
    assert not [line for line in named if "(unnamed)" in line]
    for ref in ("main~1", "main"):
        assert "(unnamed)" not in cli("--store", history.path, "log", ref).out


def test_a_long_list_is_one_line_of_a_diff(cli: Cli, store: Store) -> None:
    for step in (1, 2):
        numbers = tuple(range(step, 625 + step))
        store.commit({"rng": (3, numbers, None), "betas": [0.1 * step, 0.2 * step], "w": np.ones(3)}, step=step)
    lines = cli("--store", store.path, "diff", "main~1", "main").lines
    assert "  rng/1    625 values" in lines
    assert [line.split()[0] for line in lines if line.startswith("  ")] == ["rng/1", "betas/0", "betas/1"]
    assert len(cli("--store", store.path, "diff", "main~1", "main", "--json").document["values"]) == 627


def test_a_store_that_may_not_be_read_is_no_slip_of_the_call(history: Store) -> None:
    history.close()
    powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    path = Path(history.path)
    path.chmod(0)
    try:
        outcomes = [
            subprocess.run(
                [*powerless, *command_line("--store", path, command)],
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            for command in ("log", "doctor")
        ]
    finally:
        path.chmod(0o755)
    assert [done.returncode for done in outcomes] == [8, 8]
    for done in outcomes:
        assert done.stderr.count("\n") == 1
        assert "Permission denied" in done.stderr
