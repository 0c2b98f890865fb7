"""``doctor`` from the outside."""

from __future__ import annotations

import shutil
from pathlib import Path

from cli_program import Cli

from deltackpt import Store


def test_a_store_that_is_well(cli: Cli, history: Store) -> None:
    done = cli("--store", history.path, "doctor")
    assert (done.code, done.lines[-1]) == (0, "nothing to complain about")
    labels = {line.split()[0] for line in done.lines[:-2]}
    assert labels == {
        "versions",
        "store",
        "format",
        "files",
        "writers",
        "disk",
        "free",
        "reserve",
        "log",
        "index",
        "lmdb",
    }
    document = cli("--store", history.path, "doctor", "--json").document
    assert document["ok"] is True
    assert document["store"]["records"] == document["log"]["last"] == document["index"]["applied"] == 4


def test_a_problem_comes_with_what_to_do(cli: Cli, history: Store) -> None:
    shutil.rmtree(Path(history.path, "reserve"))
    done = cli("--store", history.path, "doctor")
    assert done.code == 1
    assert done.lines[-3:] == [
        "PROBLEM 0 of 1048576 bytes are reserved for deleting on a full disk",
        "  free some room; `deltackpt gc` sets it aside again",
        "1 problem",
    ]


def test_a_store_that_does_not_open(cli: Cli, history: Store) -> None:
    Path(history.path, "store.json").write_text("{")
    assert cli("--store", history.path, "log").code == 5
    done = cli("--store", history.path, "doctor")
    assert done.code == 1
    assert "is damaged" in done.out


def test_no_store(cli: Cli, tmp_path: Path) -> None:
    assert cli("--store", tmp_path, "doctor").code == 3
