"""One table of exit codes: the errors, the program and the documentation agree on it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_program import Cli, command_line, environment

import deltackpt.cli.main
from deltackpt import Store, errors
from deltackpt.errors import DeltackptError

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
ROW = re.compile(r"^\| (\d+) \|([^|]*)\|", re.MULTILINE)


def documented() -> dict[int, set[str]]:
    """Code to the error classes that the page names for it."""
    rows = ROW.findall(PAGE.read_text())
    return {int(code): set(re.findall(r"`(\w+Error)`", kinds)) for code, kinds in rows}


def classes(kind: type[DeltackptError] = DeltackptError) -> Iterator[type[DeltackptError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from classes(below)


def test_the_page_has_the_code_of_every_kind_of_error() -> None:
    expected: dict[int, set[str]] = {
        0: set(),
        deltackpt.cli.main.INTERRUPTED: set(),
        deltackpt.cli.main.CLOSED_PIPE: set(),
    }
    for kind in classes():
        # The kinds of errors.py stand on the page; a specific error has the code of one of them.
        if kind.__module__ == errors.__name__:
            expected.setdefault(kind.exit_code, set()).add(kind.__name__)
    assert documented() == expected
    assert {kind.exit_code for kind in classes()} <= set(expected)


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["log", "--zzzz"], 2, "No such option '--zzzz'; see `deltackpt log --help`"),
        (["nope"], 2, "No such command 'nope'; see `deltackpt --help`"),
        (["checkout", "main"], 2, "Missing option '-o' / '--output'; see `deltackpt checkout --help`"),
        (["show", "nope"], 3, "no branch, tag or commit 'nope'; there are 'dev', 'main', 'try'"),
        (["show", "mian"], 3, "no branch, tag or commit 'mian'; did you mean 'main'?"),
        (["show", "#main"], 2, "'#main' names no store before '#'; write STORE#REF, or the ref alone"),
        (["commit", "gone.safetensors"], 3, "gone.safetensors: no such file"),
        (["commit", "gone.safetensors", "--config", "gone.json"], 3, "gone.json: no such file"),
        (["branch", "-d"], 2, "-d and --force need the NAME of a branch; see `deltackpt branch --help`"),
        (["tag", "--force"], 2, "-d and --force need the NAME of a tag; see `deltackpt tag --help`"),
        (["tag", "-d", "dev"], 3, "no tag 'dev'; there are 'try'"),
        (["branch", "-d", "main"], 2, "branch 'main' is the default branch and stays; delete its commits by moving it"),
        (["tag", "try"], 2, None),
        (["branch", "a b"], 2, None),
        (["help", "nope"], 3, None),
        (
            ["annotate", "main", "--metric", "acc=1", "--metric", "acc=2"],
            2,
            "--metric 'acc' is given twice; give one value for each name",
        ),
    ],
)
def test_an_error_is_one_line_and_a_code(
    cli: Cli, history: Store, arguments: list[str], code: int, line: str | None
) -> None:
    done = cli("--store", history.path, *arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("deltackpt: ")
    assert done.err.count("\n") == 1
    assert line is None or done.err == f"deltackpt: {line}\n"


def test_damaged_files_and_unknown_kinds_have_codes_of_their_own(cli: Cli, history: Store, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    assert cli("--store", history.path, "commit", "--strict", cut).code == 6
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF" + bytes(100))
    assert cli("--store", history.path, "commit", "--strict", model).code == 7
    config = tmp_path / "config.json"
    config.write_text("{lr: 1}")
    assert cli("--store", history.path, "commit", model, "--config", config).code == 6


def test_damage_has_one_code_wherever_it_is(cli: Cli, history: Store) -> None:
    path = Path(history.path, "store.json")
    path.write_text(path.read_text().replace('"check": "', '"check": "0'))
    done = cli("--store", history.path, "log")
    assert (done.code, done.err.count("\n")) == (5, 1)
    assert "store.json' is damaged" in done.err
    assert cli("--store", history.path, "repair", "--execute").code == 0
    assert cli("--store", history.path, "log").code == 0


def test_a_message_of_several_lines_stays_one(cli: Cli) -> None:
    done = cli("--store", "no\nsuch\x1b[2J", "log")
    assert done.code == 3
    assert done.err.count("\n") == 1
    assert r"no\nsuch\x1b[2J" in done.err.replace("\\\\", "\\")


def test_debug_shows_where(cli: Cli, history: Store) -> None:
    done = cli("--store", history.path, "--debug", "show", "nope")
    assert done.code == 3
    assert done.err.startswith("Traceback ")
    assert done.err.endswith("deltackpt: no branch, tag or commit 'nope'; there are 'dev', 'main', 'try'\n")


def test_the_program_alone_explains_itself(cli: Cli, history: Store) -> None:
    for arguments in ([], ["--store", history.path]):
        done = cli(*arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("Usage: deltackpt [OPTIONS] COMMAND [ARGS]...\n")
        assert "checkout" in done.err


def test_a_closed_standard_output_is_said_in_one_line(history: Store, tmp_path: Path) -> None:
    program = [*command_line("--store", history.path, "log")]
    for closed in (">&-", ">&- 2>&-"):
        done = subprocess.run(
            ["sh", "-c", f'"$@" {closed}', "sh", *program],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 8
        assert done.stderr == (
            "deltackpt: standard output is closed; redirect it to a file, or to /dev/null\n" if closed == ">&-" else ""
        )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
def test_an_output_that_is_full_is_said_in_one_line(history: Store) -> None:
    with open("/dev/full", "w") as full:
        program = command_line("--store", history.path, "log", "--json")
        done = subprocess.run(program, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 8
    assert done.stderr == (
        "deltackpt: writing what was asked for failed: No space left on device; --debug shows where\n"
    )


def test_gc_of_a_store_that_cannot_be_written_says_so(history: Store) -> None:
    history.close()
    powerless = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    subprocess.run(["chmod", "-R", "a-w", history.path], check=True)
    try:
        command = [*powerless, *command_line("--store", history.path, "gc")]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["chmod", "-R", "u+w", history.path], check=True)
    assert done.returncode == 8
    assert done.stderr.splitlines()[-1].endswith(
        "cannot be written; use --dry-run (dry_run=True) to see what gc would free"
    )
