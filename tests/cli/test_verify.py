"""``verify`` from the outside: the store, a part of it, a file, a commit; text, documents and exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from cli_program import Cli
from disks import damage, packs
from safetensors.numpy import load_file, save_file

from deltackpt import Keep, Store


@pytest.fixture
def run(store: Store) -> Store:
    """Three steps, a pack each."""
    noise = np.random.default_rng(3)
    for step in (1, 2, 3):
        moment = noise.standard_normal(120_000).astype(np.float32)
        store.commit({"model": {"w": np.arange(100.0)}, "optimizer": {"m": moment}, "epoch": step}, step=step)
    return store


def test_the_structure(cli: Cli, run: Store) -> None:
    done = cli("--store", run.path, "verify")
    assert (done.code, done.err) == (0, "")
    chunks = run.verify().chunks
    assert done.out == f"all good: 3 commits, 3 packs, {chunks} chunks, structure only; --data reads every byte\n"


def test_every_byte(cli: Cli, run: Store) -> None:
    done = cli("--store", run.path, "verify", "--data")
    assert done.code == 0
    assert re.fullmatch(
        r"all good: 3 commits, 3 packs, \d+ chunks, [\d.]+ MB read, [\d.]+ MB decoded and hashed\n", done.out
    )


def test_a_problem_says_what_it_affects_and_what_to_do(cli: Cli, run: Store) -> None:
    damage(packs(run)[1])
    done = cli("--store", run.path, "verify", "--data")
    assert done.code == 5
    lines = done.lines
    assert re.match(r"PROBLEM chunk [0-9a-f]{12} in '.*\.pack' at byte \d+: checksum does not match$", lines[0])
    assert re.match(r"  affects commit [0-9a-f]{12} \(step \d\), part 'optimizer': 'optimizer/m'$", lines[1])
    assert lines[2].startswith("  run `deltackpt repair`: ")
    assert lines[3].startswith("1 problem: 3 commits")
    document = cli("--store", run.path, "verify", "--data", "--json").document
    assert document["ok"] is False
    [problem] = document["problems"]
    assert problem["affects"] == [
        {
            "commit": problem["affects"][0]["commit"],
            "step": int(lines[1].split("(step ")[1][0]),
            "part": "optimizer",
            "tensors": ["optimizer/m"],
        }
    ]


def test_samples_come_round(cli: Cli, run: Store) -> None:
    for _ in range(3):
        done = cli("--store", run.path, "verify", "--sample", "34%")
        assert done.code == 0
    assert re.match(r"sampled \d packs?, [\d.]+ [kM]B; 100\.0 % of the store is checked, since 2", done.lines[1])
    document = cli("--store", run.path, "verify", "--sample", "5 %", "--json").document["sample"]
    assert document["covered_bytes"] == document["total_bytes"] > document["sampled_bytes"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--sample", "5"], "'5' is not a share such as 5%"),
        (["--sample", "0%"], "'0%' is not a share such as 5%"),
        (["--sample", "101%"], "'101%' is not a share such as 5%"),
        (["--sample", "5%", "--data"], "give one of them"),
        (["--data", "main"], "leave out FILE, REF and --requires"),
        (["main"], "no file 'main'; to check a commit say what it must have, with --requires"),
        (["--requires", ","], "--requires needs names"),
        (["--requires", "model", "main", "main"], "give one REF"),
    ],
)
def test_what_makes_no_sense_is_one_line(cli: Cli, run: Store, arguments: list[str], complaint: str) -> None:
    refused = cli("--store", run.path, "verify", *arguments)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert complaint in refused.err


def test_a_file_against_the_commit_that_it_names(cli: Cli, run: Store, tmp_path: Path) -> None:
    cli("--store", run.path, "checkout", "step:2", "-o", tmp_path / "out.safetensors")
    done = cli("--store", run.path, "verify", tmp_path / "out.safetensors")
    assert done.code == 0
    assert re.fullmatch(r".*out\.safetensors against commit \w{12} \(step 2\): of 2 tensors, 2 are equal\n", done.out)
    document = cli("--store", run.path, "verify", tmp_path / "out.safetensors", "--json").document
    assert (document["ok"], document["step"], document["equal"], document["identical"]) == (True, 2, 2, None)


def test_a_file_against_another_commit(cli: Cli, run: Store, tmp_path: Path) -> None:
    cli("--store", run.path, "checkout", "step:2", "-o", tmp_path / "out.safetensors")
    done = cli("verify", tmp_path / "out.safetensors", f"{run.path}#step:1")
    assert done.code == 5
    assert done.lines[0] == "DIFFERENT tensor 'optimizer/m' differs, first from its byte 0 on"
    assert done.lines[1].endswith("(step 1): of 2 tensors, 1 are equal")


def test_a_file_that_was_committed(cli: Cli, run: Store, tmp_path: Path) -> None:
    save_file({"w": np.ones(5)}, tmp_path / "m.safetensors")
    cli("--store", run.path, "commit", tmp_path / "m.safetensors", "--branch", "files")
    done = cli("--store", run.path, "verify", tmp_path / "m.safetensors", "files")
    assert (done.code, "is the file that was committed as" in done.out) == (0, True)
    save_file(load_file(tmp_path / "m.safetensors"), tmp_path / "again.safetensors", metadata={"a": "b"})
    again = cli("--store", run.path, "verify", tmp_path / "again.safetensors", "files")
    assert (again.code, again.lines[-1]) == (
        0,
        "the bytes around its tensors are not those of the file that was committed",
    )


def test_what_a_commit_must_have(cli: Cli, run: Store) -> None:
    done = cli("--store", run.path, "verify", "--requires", "model, optimizer,step,epoch", "step:1")
    assert done.code == 0
    assert re.fullmatch(r"commit \w{12} \(step 1\) is complete: model, optimizer, step, epoch\n", done.out)
    run.prune(Keep(every=1, optimizer=1))
    thinned = cli("--store", run.path, "verify", "--requires", "model,optimizer,scaler", "step:1")
    assert thinned.code == 5
    assert re.match(r"optimizer is thinned: `deltackpt undelete \w{12}` brings it back until gc$", thinned.lines[0])
    assert thinned.lines[1] == "scaler is missing"
    document = cli("--store", run.path, "verify", "--requires", "model,optimizer", "step:1", "--json").document
    assert document["requires"] == {"model": "present", "optimizer": "thinned"}
    assert cli("--store", run.path, "verify", "--requires", "model,optimizer").code == 0, "the newest is whole"
