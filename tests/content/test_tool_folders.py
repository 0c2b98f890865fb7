"""Folders of tools that have environments of their own: the same folder again, and the tool reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from environments import DEEPSPEED, ORBAX
from trees import listed

from deltackpt import Store

HERE = Path(__file__).parent


@DEEPSPEED.wanted
@pytest.mark.parametrize("stage", [1, 3])
def test_a_folder_of_deepspeed(store: Store, tmp_path: Path, stage: int) -> None:
    DEEPSPEED.run(HERE / "make_deepspeed.py", tmp_path / "run", str(stage))
    commit = store.commit_path(tmp_path / "run")
    store.checkout("main", tmp_path / "again")
    assert listed(tmp_path / "again") == listed(tmp_path / "run")
    assert {part.name for part in commit.parts} == {"", "model", "optimizer"}
    assert sum(part.untyped for part in commit.parts) < 0.01 * commit.logical_bytes


@ORBAX.wanted
def test_a_folder_of_orbax(store: Store, tmp_path: Path) -> None:
    ORBAX.run(HERE / "orbax_folder.py", "save", tmp_path / "run")
    store.commit_path(tmp_path / "run")
    store.checkout("main", tmp_path / "again")
    assert listed(tmp_path / "again") == listed(tmp_path / "run")
    assert ORBAX.run(HERE / "orbax_folder.py", "load", tmp_path / "again") == "True 7"
