"""Checkpoints on disk: their steps, epochs and metrics, told by names and by trainer_state.json, and their order."""

from __future__ import annotations

import glob
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.formats.wording import shown_path

EPOCH = "epoch"
_MAX_STATE_BYTES = 64 << 20
_STEP_RANGE = range(1 << 63)

_STEP = re.compile(
    r"(?i)(?<![a-z0-9])(?:global_?)?(?:steps?|checkpoints?|ckpts?|iterations?|iters?)[-_=.]?(\d+)(?!\d*-of-)"
)
_EPOCH = re.compile(r"(?i)(?<![a-z0-9])(?:epochs?|ep)[-_=.]?(\d+)")
_METRIC = re.compile(
    r"(?i)(?<![a-z0-9])((?:(?:train|val|valid|validation|eval|test|dev|avg|best)_)?(?:loss|acc|accuracy|ppl|perplexity|bleu|f1|auc|score))[=_-]"
    r"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
)


@dataclass(frozen=True, slots=True)
class FoundCheckpoint:
    """A file or folder. ``size`` and ``mtime_ns`` are those of the path itself; an epoch is one of the metrics."""

    path: str
    step: int | None
    metrics: Mapping[str, float]
    size: int
    mtime_ns: int

    @property
    def origin(self) -> dict[str, Any]:
        """What tells this checkpoint from any other, kept beside its commit."""
        return {"path": os.path.realpath(self.path), "size": self.size, "mtime_ns": self.mtime_ns}


def find_checkpoints(patterns: Iterable[str]) -> list[FoundCheckpoint]:
    """What paths and globs name, each once, the oldest first: by step, by epoch, then by time.

    NotFoundError when one of them names nothing; InvalidInputError when two have the same step.
    """
    paths: dict[str, str] = {}
    for pattern in patterns:
        matches = [pattern] if os.path.lexists(pattern) else sorted(glob.glob(pattern))
        if not matches:
            raise NotFoundError(f"{shown_path(pattern)}: no such file, and no file matches it")
        for path in matches:
            real = os.path.realpath(path)
            paths.setdefault(real, real if os.path.islink(path) else path)
    found = sorted(map(_described, paths.values()), key=_order)
    _check_steps(found)
    return found


def _check_steps(found: Iterable[FoundCheckpoint]) -> None:
    by_step: dict[int, str] = {}
    for one in found:
        other = by_step.setdefault(one.step, one.path) if one.step is not None else one.path
        if other != one.path:
            raise InvalidInputError(
                f"{shown_path(other)} and {shown_path(one.path)} are both of step {one.step}; import one run at a time"
            )


def _order(one: FoundCheckpoint) -> tuple[float, float, int]:
    step = math.inf if one.step is None else one.step
    return step, one.metrics.get(EPOCH, math.inf), one.mtime_ns


def _described(path: str) -> FoundCheckpoint:
    status, name = os.stat(path), os.path.basename(os.path.abspath(path))
    step, metrics = said_by_name(name)
    state = _trainer_state(os.path.join(path, "trainer_state.json"))
    if isinstance(state.get("global_step"), int) and state["global_step"] in _STEP_RANGE:
        step = state["global_step"]
    return FoundCheckpoint(path, step, {**_logged(state), **metrics}, status.st_size, status.st_mtime_ns)


def said_by_name(name: str) -> tuple[int | None, dict[str, float]]:
    """The step and the metrics in the name of a file or folder: ``checkpoint_step_10000_loss_2.3456.pt``."""
    steps = [int(text) for text in _STEP.findall(name) if len(text) < 19]
    metrics = {key: float(value) for key, value in _METRIC.findall(name)}
    if epochs := _EPOCH.findall(name):
        metrics[EPOCH] = float(epochs[-1])
    return (steps[-1] if steps else None), metrics


def _trainer_state(path: str) -> dict[str, Any]:
    """What Transformers' Trainer wrote; nothing when it is not there or something else."""
    try:
        with open(path, "rb") as file:
            state = json.loads(file.read(_MAX_STATE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return state if isinstance(state, dict) else {}


def _logged(state: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of the last step in a trainer's log, and the epoch."""
    log = state.get("log_history")
    entries = [e for e in log if isinstance(e, dict)] if isinstance(log, list) else []
    of_step = {k: v for entry in entries if entry.get("step") == state.get("global_step") for k, v in entry.items()}
    named = {**of_step, EPOCH: state.get(EPOCH)}
    return {key: float(v) for key, v in named.items() if type(v) in (int, float) and key != "step"}
