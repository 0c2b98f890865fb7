"""``deltackpt import`` on the folders of runs, as a person reads it, and ``checkout`` of what was imported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_program import Cli
from left_runs import STEPS, deepspeed, flat, trainer

NAMES = [f"checkpoint_step_{step}_loss_{2 + 1 / step:.4f}.pt" for step in STEPS]


@pytest.fixture
def made(cli: Cli) -> Cli:
    assert cli("init").code == 0
    return cli


def test_pointers_and_scripts_are_listed_and_left(made: Cli) -> None:
    deepspeed(Path("ds"))
    planned = made("import", "ds", "--dry-run")
    assert planned.lines[:4] == [
        *(f"step {step}  ds/global_step{step}" for step in STEPS),
        "left as they are: ds/latest, ds/zero_to_fp32.py",
    ]
    assert os.listdir("ds") != []
    done = made("import", "ds/*", "--remove-originals")
    assert (done.code, done.lines[3]) == (0, "left as they are: ds/latest, ds/zero_to_fp32.py")
    assert sorted(os.listdir("ds")) == ["latest", "zero_to_fp32.py"]
    assert made("import", "ds/*", "--remove-originals").lines[-1] == "nothing is left to import"
    assert made("import", "ds", "--dry-run").lines[-1] == "nothing is left to import"
    assert made("import", "ds/latest", "--branch", "pointers").lines[0].split(", ")[1] == "ds/latest"


def test_the_final_model_says_of_how_many_files_it_is(made: Cli) -> None:
    trainer(Path("run"))
    document = made("import", "run", "--json").document
    assert [one["step"] for one in document["checkpoints"]] == [*STEPS, None]
    assert document["checkpoints"][-1]["files"][:2] == ["run/config.json", "run/model.safetensors"]
    assert document["left"] == ["run/runs", "run/README.md", "run/all_results.json"]
    assert " no step, run (5 files), known, equal" in made("import", "run").lines[-3]


def test_what_was_imported_comes_back_under_its_names(made: Cli) -> None:
    flat(Path("run"))
    assert made("import", "run").code == 0
    Path("back").mkdir()
    assert made("checkout", "main", "--all", "-o", "back/{name}").code == 0
    assert sorted(os.listdir("back")) == sorted([*NAMES, "best.pt"])
    assert all(Path("back", name).read_bytes() == Path("run", name).read_bytes() for name in os.listdir("back"))


def test_a_template_that_some_commits_cannot_fill_names_them_and_writes_nothing(made: Cli) -> None:
    flat(Path("run"))
    commits = made("import", "run", "--json").document["checkpoints"]
    Path("back").mkdir()
    refused = made("checkout", "main", "--all", "-o", "back/{step}.pt")
    short = commits[-1]["commit"][:12]
    assert refused.code == 2
    assert refused.err == (
        f"deltackpt: 'back/{{step}}.pt': 1 of 4 commits has no 'step': {short}; nothing was written;"
        " all have branch, commit, and those that were files or folders have name\n"
    )
    assert os.listdir("back") == []
    assert made("checkout", "main~1", "--all", "-o", "back/{step}_{loss:.4f}.pt").code == 0
    assert sorted(os.listdir("back")) == sorted(f"{step}_{2 + 1 / step:.4f}.pt" for step in STEPS)


def test_when_a_target_exists_none_is_written(made: Cli) -> None:
    flat(Path("run"))
    assert made("import", "run").code == 0
    Path("back").mkdir()
    Path("back", "best.pt").write_text("mine")
    refused = made("checkout", "main", "--all", "-o", "back/{name}")
    assert (refused.code, refused.err) == (
        2,
        "deltackpt: of 4 targets, 1 exists already: 'back/best.pt'; nothing was written;"
        " replace them with --force (force=True), or choose other names\n",
    )
    assert os.listdir("back") == ["best.pt"]
    assert made("checkout", "main", "--all", "-o", "back/{name}", "--force").code == 0
    assert sorted(os.listdir("back")) == sorted([*NAMES, "best.pt"])


def test_a_state_has_no_name(made: Cli) -> None:
    from deltackpt import Store

    with Store(".deltackpt") as store:
        store.commit({"lr": 0.5}, step=1)
    refused = made("checkout", "main", "-o", "{name}")
    assert "has no 'name'; it has branch, commit, step, and name if it was a file or folder" in refused.err
