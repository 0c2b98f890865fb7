"""The second checkpoint of a run costs what its tensors cost as a live state, in every format, under every name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from costs import committed, literal_bytes
from folder_writers import WITH_OPTIMIZER, WRITERS, State, Write, trainer

from deltackpt import Store

STEPS = (500, 1000)
NAMES = (
    *("checkpoint-{}", "global_step{}", "iter_{:07d}", "step-{}", "epoch={}", "checkpoint_step_{}_loss_2.3456"),
    *("ckpt_{}.pt", "epoch={}-val_loss=0.41.pt", "step_{}.pt"),
)


def assert_costs(folder: Path, paths: Sequence[Path], states: Sequence[State]) -> None:
    """The second checkpoint costs within 2 % what the live state costs, and brings no more text than the first."""
    files, live = committed(folder / "files", paths), committed(folder / "live", states)
    first, second = map(literal_bytes, paths, files)
    assert second <= first + 64
    assert files[1].stored_bytes < 1.02 * live[1].stored_bytes


def saved(path: Path, state: State, write: Write = trainer) -> None:
    """A folder, or one file where ``path`` ends like one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".pt":
        torch.save(state, path)
    else:
        path.mkdir()
        write(path, state)


def live(state: State, write: Write = trainer) -> State:
    """The parts of a state that ``write`` writes."""
    parts = ("model", "optimizer", "scheduler", "rng") if write in WITH_OPTIMIZER else ("model",)
    return {part: state[part] for part in parts}


@pytest.mark.parametrize("write", WRITERS)
def test_in_every_format(tmp_path: Path, trained: list[State], write: Write) -> None:
    folders = [tmp_path / f"checkpoint-{step}" for step in STEPS]
    for folder, step, state in zip(folders, STEPS, trained, strict=False):
        saved(folder, {**state, "step": step}, write)
    assert_costs(tmp_path, folders, [live(state, write) for state in trained[:2]])


@pytest.mark.parametrize("name", NAMES)
def test_under_every_name(tmp_path: Path, trained: list[State], name: str) -> None:
    """The number of a step, in the name of a folder or of a file, hides nothing."""
    runs = [tmp_path / f"run-{step}" for step in STEPS]
    for run, step, state in zip(runs, STEPS, trained, strict=False):
        saved(run / name.format(step), state)
    assert_costs(tmp_path, runs, [live(state) for state in trained[:2]])


@pytest.mark.parametrize("name", ["global_step{}", "checkpoint-{}", "ckpt_{}.pt"])
def test_beside_the_ones_before(store: Store, tmp_path: Path, trained: list[State], name: str) -> None:
    """The folder of a run that keeps every step is committed as a whole: what is new in it is a delta too.

    That is against the step before, not against the first of many. Text and manifests of a model as small as this one
    are a few percent.
    """
    commits = []
    for step, state in zip((500, 1000, 1500, 2000), trained, strict=True):
        saved(tmp_path / "run" / name.format(step), state)
        commits.append(store.commit(tmp_path / "run"))
    alone = committed(tmp_path / "live", [live(state) for state in trained])
    for ours, theirs in zip(commits[1:], alone[1:], strict=True):
        assert ours.stored_bytes < 1.05 * theirs.stored_bytes
