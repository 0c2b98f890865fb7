"""Runs of four trainers, each a series of checkpoint folders: trained once, cached, never changed afterwards.

DeepSpeed and TensorFlow want environments of their own: a variable for each names the folder of one, as for the tests.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.progress import say
from benchmarks.runs import RUNS, ensure
from benchmarks.runs.encoder import model_folder

FOLDER = Path(__file__).parents[1] / ".cache" / "folders"
WORKERS = Path(__file__).parent / "workers"
STEPS = tuple(range(10, 101, 10))
RANKS = 2


@dataclass(frozen=True, slots=True)
class FolderRun:
    """``train`` writes, below a folder that it is given, one named ``prefix`` and the step for each of ``steps``."""

    name: str
    title: str
    prefix: str
    steps: tuple[int, ...]
    absent: Callable[[], str | None]
    train: Callable[[Path], None]

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Every step with its folder, in the order in which they were written."""
        root = FOLDER / self.name
        if not (root / "complete").exists():
            say(f"training {self.title}, once; cached in {root}")
            root.mkdir(parents=True, exist_ok=True)
            self.train(root)
            (root / "complete").touch()
        return [(step, root / f"{self.prefix}{step}") for step in self.steps]


def weights_absent() -> str | None:
    """Why there is nothing to fine-tune here."""
    return None if model_folder() else "missing: the pretrained weights are not installed"


def _environment(variable: str) -> str | None:
    return None if os.environ.get(variable) else f"missing: {variable} names no environment"


def _python(variable: str) -> str:
    return str(Path(os.environ[variable]).absolute() / "bin" / "python")


def _run(*commands: Sequence[str]) -> None:
    """Commands side by side, to their ends; RuntimeError when one fails."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TF_CPP_MIN_LOG_LEVEL": "3"}
    began = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for command in commands]
    codes = [process.wait() for process in began]
    if any(codes):
        raise RuntimeError(f"{commands[0][1]} failed")


def _train_with_transformers(root: Path) -> None:
    _run([sys.executable, str(WORKERS / "train_transformers.py"), str(model_folder()), str(root), str(STEPS[-1])])


def _save_with_dcp(root: Path) -> None:
    ensure(RUNS[FILES_OF])
    _run([sys.executable, str(WORKERS / "save_dcp.py"), FILES_OF, str(root), *map(str, DCP_STEPS)])


def _train_with_deepspeed(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    worker = [_python(DEEPSPEED), str(WORKERS / "train_deepspeed.py"), str(model_folder()), str(root), str(STEPS[-1])]
    _run(*([*worker, str(port), str(rank), str(RANKS)] for rank in range(RANKS)))


def _train_with_tensorflow(root: Path) -> None:
    _run([_python(TENSORFLOW), str(WORKERS / "train_tensorflow.py"), str(root), str(STEPS[-1])])


DEEPSPEED, TENSORFLOW = "DELTACKPT_DEEPSPEED_ENV", "DELTACKPT_TENSORFLOW_ENV"
FILES_OF = "fp32-finetune"
DCP_STEPS = (50, 60, 70, 80, 90, 100)
TRAINER = FolderRun("trainer", "HF Trainer, fp32", "checkpoint-", STEPS, weights_absent, _train_with_transformers)
DEEPSPEED_RUN = FolderRun(
    "deepspeed",
    f"DeepSpeed ZeRO-2, {RANKS} ranks, bf16 + fp32 master",
    "global_step",
    STEPS,
    lambda: weights_absent() or _environment(DEEPSPEED),
    _train_with_deepspeed,
)
DCP = FolderRun("dcp", "torch.distributed.checkpoint, fp32", "step-", DCP_STEPS, weights_absent, _save_with_dcp)
TENSORFLOW_RUN = FolderRun(
    "tensorflow",
    "TensorFlow, fp32, from scratch",
    "step-",
    STEPS,
    lambda: _environment(TENSORFLOW),
    _train_with_tensorflow,
)
FOLDER_RUNS = (TRAINER, DEEPSPEED_RUN, DCP, TENSORFLOW_RUN)
