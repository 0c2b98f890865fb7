"""TensorFlow in an environment of its own: it is too large, and its pins too narrow, for that of the other tests.

The variable ``DELTACKPT_TENSORFLOW_ENV`` names a folder. The environment is made there by the first test that needs
it, or by ``python tensorflow_environment.py FOLDER``, and used again afterwards; without the variable those tests are
skipped and the golden files have to do. What runs in it imports this very tree.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "DELTACKPT_TENSORFLOW_ENV"
ROOT = Path(__file__).parents[2]
REQUIREMENTS = ("tensorflow-cpu==2.21.*", "-e", str(ROOT))

wanted = pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"{VARIABLE} names no folder for an environment")


def run(*arguments: str | Path) -> str:
    """What TensorFlow's interpreter prints when it is run with ``arguments``."""
    return subprocess.run(
        [str(made(Path(os.environ[VARIABLE]))), *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
    ).stdout


def made(folder: Path) -> Path:
    """The interpreter of the environment in ``folder``, which is made when it is not there as it should be."""
    python, ready = folder / "bin" / "python", folder / "ready"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists() or ready.read_text() != REQUIREMENTS[0]:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            subprocess.run([str(python), "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
            ready.write_text(REQUIREMENTS[0])
    return python


if __name__ == "__main__":
    made(Path(sys.argv[1]).absolute())
