"""The page of the command line knows every command and every key of every document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_program import Cli

from deltackpt import Store
from deltackpt.cli.program import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
# Names that a user chose, not keys of ours.
FREE_FORM = {"metrics", "environment", "config", "meta", "parts", "chunks", "recipes", "requires", "versions", "rows"}


def keys(document: Any) -> Iterator[str]:
    if isinstance(document, list):
        for item in document:
            yield from keys(item)
    elif isinstance(document, dict):
        for key, value in document.items():
            yield key
            if key not in FREE_FORM:
                yield from keys(value)


def test_every_command_stands_in_the_table() -> None:
    for command in COMMANDS:
        assert re.search(rf"^\|.*`{command}`.*\|.*\|$", PAGE, re.MULTILINE), command


@pytest.mark.parametrize(
    "arguments",
    [
        ["log"],
        ["log", "--deleted"],
        ["show"],
        ["diff", "main~1", "main"],
        ["branch"],
        ["tag"],
        ["stats"],
        ["prune", "--keep-last", "1", "--dry-run"],
        ["gc", "--dry-run"],
        ["verify"],
        ["verify", "--sample", "5%"],
        ["verify", "--requires", "model"],
        ["repair"],
        ["doctor"],
    ],
)
def test_every_key_of_a_document_is_explained(cli: Cli, history: Store, arguments: list[str]) -> None:
    history.delete("step:10")
    found = set(keys(cli("--store", history.path, *arguments, "--json").document))
    assert {key for key in found if f"`{key}`" not in PAGE and f'"{key}":' not in PAGE} == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cli: Cli, command: str) -> None:
    helped = cli(command, "--help")
    assert helped.code == 0
    assert helped.out.startswith(f"Usage: deltackpt {command}")
    assert "--store DIR" in helped.out
