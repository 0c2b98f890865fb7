"""Keras on TensorFlow, the real ones: every epoch is a commit, and a run goes on from any of them."""

from __future__ import annotations

from pathlib import Path

from environments import TENSORFLOW

pytestmark = TENSORFLOW.wanted


def test_a_run_its_continuation_and_what_is_refused(tmp_path: Path) -> None:
    told = TENSORFLOW.run(Path(__file__).parent / "keras_trainee.py", tmp_path).splitlines()
    assert told[0].startswith("commit ")
    assert told[0].endswith("does not fit the model")
    assert told[1:] == [
        "branch 'main' has commits already",
        "the model is not compiled or not built; call compile() and build() first",
    ]
