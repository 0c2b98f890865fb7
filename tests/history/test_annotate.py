"""Metrics that were found after a commit was made."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from deltackpt import ConflictError, InvalidInputError, NotFoundError, Store


@pytest.fixture
def run(store: Store) -> Store:
    """Steps 1 to 3, each with a loss."""
    for step in (1, 2, 3):
        store.commit({"n": step}, step=step, metrics={"loss": 1 / step})
    return store


def test_a_later_metric_counts_like_the_commits_own(run: Store) -> None:
    before = run.resolve("step:2")
    after = run.annotate("step:2", {"accuracy": np.float32(0.75)})
    assert after.id == before.id
    assert after.metrics == {"loss": 0.5, "accuracy": 0.75}
    assert run.resolve("max:accuracy") == after
    assert [commit.metrics.get("accuracy") for commit in run.log("main")] == [None, 0.75, None]


def test_the_last_word_on_a_metric_counts(run: Store) -> None:
    run.annotate("step:1", {"loss": 0.01})
    assert run.resolve("min:loss").step == 1
    run.annotate("step:1", {"loss": 7.0})
    assert run.resolve("max:loss").metrics["loss"] == 7.0


def test_the_index_is_built_again_with_them(run: Store, tmp_path: Path) -> None:
    run.annotate("step:2", {"accuracy": 0.75, "bleu": math.inf, "diverged": math.nan})
    shutil.rmtree(Path(run.path, "index"))
    found = Store(run.path).resolve("step:2").metrics
    assert (found["accuracy"], found["bleu"]) == (0.75, math.inf)
    assert math.isnan(found["diverged"])


def test_undo_brings_back_what_was_there_before(run: Store) -> None:
    run.annotate("step:2", {"accuracy": 0.5})
    run.annotate("step:2", {"accuracy": 0.75})
    assert [o.operation for o in run.oplog()][:2] == ["annotate", "annotate"]
    assert run.undo().what == (f"commit {run.resolve('step:2').id.short}: accuracy 0.75",)
    assert run.resolve("step:2").metrics["accuracy"] == 0.5
    run.undo()
    assert "accuracy" not in run.resolve("step:2").metrics


def test_an_older_annotation_is_not_undone_under_a_newer_one(run: Store) -> None:
    run.annotate("step:2", {"accuracy": 0.5})
    older = next(run.oplog()).number
    run.annotate("step:2", {"accuracy": 0.75})
    with pytest.raises(ConflictError, match="undo later operations first"):
        run.undo(older)


def test_not_a_number_can_be_undone(run: Store) -> None:
    run.annotate("step:2", {"accuracy": math.nan})
    run.undo()
    assert "accuracy" not in run.resolve("step:2").metrics


def test_they_go_with_their_commit(run: Store) -> None:
    commit = run.commit({"n": 9}, step=9, branch="side", parent="step:1")
    run.annotate(commit, {"accuracy": 0.5})
    run.delete_branch("side")
    run.gc()
    with run._repository.chunks.index.view() as view:
        assert view.annotations(commit.id) == {}
    with pytest.raises(NotFoundError):
        run.annotate(commit, {"accuracy": 0.5})


def test_what_is_no_number_is_refused(run: Store) -> None:
    with pytest.raises(InvalidInputError, match=r"metric 'note' is not a number"):
        run.annotate("main", {"note": "good"})
