"""Folders of Orbax, whose chunks are compressed: the same again, Orbax restores them, what is equal is kept once."""

from __future__ import annotations

from pathlib import Path

from environments import ORBAX
from trees import listed

from deltackpt import Store

SCRIPT = Path(__file__).parent / "orbax_run.py"


@ORBAX.wanted
def test_a_run_of_orbax(store: Store, tmp_path: Path) -> None:
    """In the second step two of three layers are as they were."""
    ORBAX.run(SCRIPT, "save", run := tmp_path / "run")
    again = tmp_path / "again"
    again.mkdir()
    commits = {step: store.commit_path(run / step) for step in ("0", "10")}
    for step, commit in commits.items():
        store.checkout(commit.id, again / step)
        assert listed(again / step) == listed(run / step)
    assert ORBAX.run(SCRIPT, "load", again) == "True True "
    assert commits["10"].stored_bytes < 0.45 * commits["0"].stored_bytes
