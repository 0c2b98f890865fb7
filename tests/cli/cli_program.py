"""Running the command line: in this process, or as the program that a user starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import deltackpt
from deltackpt.cli.main import run


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Cli = Callable[..., Outcome]


def in_process(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def call(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def command_line(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "deltackpt", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """This process's, with the package on the path and no store named."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DELTACKPT")}
    return {**kept, "PYTHONPATH": str(Path(deltackpt.__file__).parents[1]), **more}


def program(*arguments: str | Path, cwd: Path, **variables: str) -> Outcome:
    """The real program, in a process of its own."""
    done = subprocess.run(
        command_line(*arguments), cwd=cwd, env=environment(**variables), capture_output=True, text=True, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
