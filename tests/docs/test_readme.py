"""The README's commands are those that are run, and the documents hang together."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from documents import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> list[str]:
    """The indented lines of the README that set up an environment."""
    return [line.strip() for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("    python3 ")]


def test_there_are_two_commands_each_a_line_that_sets_everything_up() -> None:
    demo, tests = commands()
    setup = "python3 -m venv .venv && .venv/bin/pip install -q 'torch==2.13.0+cpu' -e "
    assert demo == setup + ". && .venv/bin/deltackpt demo"
    assert tests == setup + "'.[test]' && .venv/bin/python -m pytest -n auto"


def test_what_ci_runs_is_the_test_command_of_the_readme() -> None:
    run = ROOT / ".ci" / "run"
    [said] = re.findall(r'^test_command="(.*)"$', run.read_text(), re.MULTILINE)
    assert said == commands()[1]
    assert os.access(run, os.X_OK)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_document_can_be_reached() -> None:
    reached = "\n".join(path.read_text() for path in DOCUMENTS[1:] + DOCUMENTS[:1])
    for document in DOCUMENTS[1:]:
        assert f"{document.name})" in reached or f"{document.parent.name}/)" in reached, document
