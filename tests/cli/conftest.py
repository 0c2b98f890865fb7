"""A store with a little history, and the command line to look at it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_program import Cli, in_process

from deltackpt import Store


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """The command line in this process, in an empty folder, with no store named."""
    monkeypatch.delenv("DELTACKPT_STORE", raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return in_process(capsys)


@pytest.fixture
def history(store: Store) -> Store:
    """``main`` at steps 10, 20, 30 with ``dev`` from step 20 on, and a tag."""
    rng = np.random.default_rng(7)
    weight = rng.standard_normal((64, 64)).astype(np.float32)
    frozen = rng.standard_normal((64, 64)).astype(np.float32)

    def state(step: int) -> dict[str, object]:
        moved = weight + np.float32(step * 1e-5)
        return {"model": {"w": moved, "frozen": frozen, "b": weight[0, :4].copy()}, "lr": 1.0 / step}

    for step in (10, 20, 30):
        store.commit(state(step), step=step, metrics={"loss": 1 / step}, message=f"at {step}\nmore", config={"seed": 1})
    store.commit(state(25), step=25, branch="dev", parent="step:20", tags=["try"], config={"seed": 2})
    return store
