"""TensorFlow in an environment of its own: it is too large, and its pins too narrow, for that of the other tests.

The variable ``DELTACKPT_TENSORFLOW_ENV`` names a folder. The environment is made there by the first test that needs
it, and used again afterwards; without the variable those tests are skipped and the golden files have to do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "DELTACKPT_TENSORFLOW_ENV"
REQUIREMENT = "tensorflow-cpu==2.21.*"

wanted = pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"{VARIABLE} names no folder for an environment")


def run(script: Path, *arguments: str) -> str:
    """What ``script`` prints when TensorFlow's interpreter runs it."""
    return subprocess.run(
        [str(_interpreter()), str(script), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    ).stdout


def _interpreter() -> Path:
    folder = Path(os.environ[VARIABLE])
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", REQUIREMENT], check=True)
        (folder / "ready").touch()
    return python
