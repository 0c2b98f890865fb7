"""Libraries in environments of their own: too large, or their pins too narrow, for that of the other tests.

A variable for each names a folder. The environment is made there by the first test that needs it, or by
``python environments.py NAME FOLDER``, and used again afterwards; without the variable those tests are skipped. What
runs in one imports this very tree.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Environment:
    """What pip installs into the folder that the variable names, with deltackpt."""

    variable: str
    requirements: tuple[str, ...]

    @property
    def wanted(self) -> pytest.MarkDecorator:
        """Skips a test where the variable is not set."""
        return pytest.mark.skipif(
            not os.environ.get(self.variable), reason=f"{self.variable} names no folder for an environment"
        )

    def run(self, *arguments: str | Path) -> str:
        """What the interpreter of the environment prints when it is run with ``arguments``."""
        return subprocess.run(
            [str(self.made(Path(os.environ[self.variable]).absolute())), *map(str, arguments)],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
        ).stdout

    def made(self, folder: Path) -> Path:
        """The interpreter of the environment in ``folder``, which is made when it is not there as it should be."""
        python, ready, wanted = folder / "bin" / "python", folder / "ready", " ".join(self.requirements)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready.exists() or ready.read_text() != wanted:
                subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
                install = [str(python), "-m", "pip", "install", "-q", *self.requirements, "-e", str(ROOT)]
                # DeepSpeed compiles what it needs when it needs it.
                subprocess.run(install, check=True, env={**os.environ, "DS_BUILD_OPS": "0"})
                ready.write_text(wanted)
        return python


TENSORFLOW = Environment("DELTACKPT_TENSORFLOW_ENV", ("tensorflow-cpu==2.21.*",))
DEEPSPEED = Environment("DELTACKPT_DEEPSPEED_ENV", ("torch==2.13.0+cpu", "deepspeed==0.19.*", "setuptools", "ninja"))
ORBAX = Environment("DELTACKPT_ORBAX_ENV", ("orbax-checkpoint==0.12.*",))

if __name__ == "__main__":
    {"tensorflow": TENSORFLOW, "deepspeed": DEEPSPEED, "orbax": ORBAX}[sys.argv[1]].made(Path(sys.argv[2]).absolute())
