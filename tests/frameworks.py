"""Environments of their own for frameworks that are too large, or pin too narrowly, for that of the other tests.

For each, a variable names a folder. The environment is made there by the first test that needs it, and used again
afterwards; without the variable those tests are skipped. What deltackpt needs is installed, too; deltackpt itself is
imported from here.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Framework:
    """``requirements`` are installed together, then ``after`` them what needs them to be built."""

    variable: str
    requirements: tuple[str, ...]
    after: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def wanted(self) -> pytest.MarkDecorator:
        """Skips a test where there is no such environment."""
        missing = not os.environ.get(self.variable)
        return pytest.mark.skipif(missing, reason=f"{self.variable} names no folder for an environment")

    def command(self, script: Path, *arguments: object) -> list[str]:
        """``script`` in the framework's interpreter."""
        return [str(self._interpreter()), str(script), *map(str, arguments)]

    def environment(self) -> dict[str, str]:
        """The variables of such a process."""
        paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
        return {**os.environ, **dict(self.variables), "PYTHONPATH": paths}

    def run(self, script: Path, *arguments: object, folder: Path | None = None) -> str:
        """What ``script`` prints."""
        command = self.command(script, *arguments)
        ran = subprocess.run(command, capture_output=True, text=True, env=self.environment(), cwd=folder, timeout=300)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def _interpreter(self) -> Path:
        folder = Path(os.environ[self.variable])
        folder.mkdir(parents=True, exist_ok=True)
        python = folder / "bin" / "python"
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "ready").exists():
                subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
                self._install(python, [*self.requirements, *_dependencies()])
                if self.after:
                    self._install(python, [*self.requirements, *self.after, "--no-build-isolation"])
                (folder / "ready").touch()
        return python

    def _install(self, python: Path, what: Sequence[str]) -> None:
        subprocess.run([str(python), "-m", "pip", "install", "-q", *what], check=True, env=self.environment())


def _dependencies() -> list[str]:
    """What deltackpt itself needs."""
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return found


TENSORFLOW = Framework(
    "DELTACKPT_TENSORFLOW_ENV", ("tensorflow-cpu==2.21.*",), variables=(("TF_CPP_MIN_LOG_LEVEL", "3"),)
)
DEEPSPEED = Framework(
    "DELTACKPT_DEEPSPEED_ENV",
    ("torch==2.13.0+cpu", "numpy", "setuptools", "wheel", "ninja", "packaging"),
    after=("deepspeed==0.19.*",),
    variables=(("DS_BUILD_OPS", "0"), ("DS_ACCELERATOR", "cpu")),
)
