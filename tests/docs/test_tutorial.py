"""Code in the documents runs and prints what it is said to print."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, blocks

from deltackpt.cli.main import run


def executed(path: Path, capsys: pytest.CaptureFixture[str]) -> int:
    """Run the Python blocks in order, in one namespace; compare each output block with what the one before printed."""
    names: dict[str, Any] = {}
    said = ""
    count = 0
    for block in blocks(path):
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(path), "exec"), names)
            said = capsys.readouterr().out
            count += 1
        elif block.language == "text":
            assert block.text == said, f"{path.name}, line {block.line}"
    return count


def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert executed(ROOT / "docs" / "tutorial.md", capsys) >= 10
    for block in blocks(ROOT / "docs" / "tutorial.md"):
        for line in block.text.splitlines() if block.language == "console" else ():
            words = shlex.split(line.removeprefix("$ "))
            assert words[0] == "deltackpt"
            assert run(words[1:]) == 0, line
            assert capsys.readouterr().out or "-o" in words


def test_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert executed(ROOT / "docs" / "reference.md", capsys) >= 8


def test_the_page_on_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert executed(ROOT / "docs" / "training.md", capsys) >= 8


@pytest.mark.parametrize("library", ["transformers", "accelerate", "lightning", "fsspec"])
def test_the_page_of_a_framework(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    assert executed(ROOT / "docs" / "integrations" / f"{library}.md", capsys) >= 1


def test_the_readme_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert executed(ROOT / "README.md", capsys) == 1
    assert (tmp_path / "model.safetensors").stat().st_size > 1 << 20
