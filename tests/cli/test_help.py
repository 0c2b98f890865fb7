"""What the program says of itself, at once, and to those who come from other tools."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cli_program import Cli, command_line, environment, program

from deltackpt.cli.program import COMMANDS


def imported_by(*arguments: str, cwd: Path, **variables: str) -> set[str]:
    """The modules that the real program imports for a command."""
    first, *rest = command_line(*arguments)
    timed = subprocess.run(
        [first, "-X", "importtime", *rest],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in timed.stderr.splitlines()}


def test_a_list_of_commands_imports_none(tmp_path: Path) -> None:
    asked = {"_DELTACKPT_COMPLETE": "bash_complete", "COMP_WORDS": "deltackpt ch", "COMP_CWORD": "1"}
    for modules in (imported_by("--help", cwd=tmp_path), imported_by(cwd=tmp_path, **asked)):
        assert "deltackpt.cli.program" in modules
        assert not [name for name in modules if name.startswith("deltackpt.cli.commands.")]
        assert modules.isdisjoint({"numpy", "torch", "lmdb", "msgspec"})


def test_every_command_says_in_one_line_what_it_does(cli: Cli) -> None:
    lines = cli("--help").lines
    listed = lines[lines.index("Commands:") + 1 :]
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert max(map(len, lines)) <= 80
    assert not [line for line in listed if not line.endswith(".") or line.endswith("...")]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("lgo", "'log'"), ("chekout", "'checkout'"), ("restore", "'checkout'"), ("ls", "'log'"), ("fsck", "'verify'")],
)
def test_a_command_of_another_tool_or_misspelt_is_told(cli: Cli, name: str, hint: str) -> None:
    done = cli(name)
    assert (done.code, done.out, done.err) == (2, "", f"deltackpt: no command {name!r}; did you mean {hint}?\n")


def test_what_is_near_nothing_leads_to_the_list(cli: Cli) -> None:
    assert cli("xyzzy").err == "deltackpt: No such command 'xyzzy'; see `deltackpt --help`\n"


def test_completion_beyond_a_command_that_is_none_is_no_error(tmp_path: Path) -> None:
    asked = {"_DELTACKPT_COMPLETE": "bash_complete", "COMP_WORDS": "deltackpt ls ", "COMP_CWORD": "2"}
    done = program(cwd=tmp_path, **asked)
    assert done.err == ""
