"""Stories of a run that keeps some of its commits, and of deletions taken back in time or too late."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deltackpt import Keep, Store
from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.history.commits import Commit, DeletedError, ThinnedError
from deltackpt.history.deletion import StillNamedError
from deltackpt.history.oplog import CannotUndoError

NOISE = np.random.default_rng(7)


def state(step: int) -> dict[str, object]:
    """Large enough that each commit has a pack of its own."""
    weights = NOISE.standard_normal(200_000).astype(np.float32)
    return {"model": {"w": weights}, "optimizer": {"m": weights[::-1].copy(), "step": step}}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Store]:
    """Ten commits, step 0 to 90; the loss is lowest at step 40; step 20 is tagged; 70 and 80 are full of NaN."""
    with Store.init(tmp_path / "store") as store:
        for number in range(10):
            made = state(number * 10)
            if number in (7, 8):
                made["model"] = {"w": np.full(200_000, np.nan, np.float32)}
            tags = ["kept-by-hand"] if number == 2 else []
            store.commit(made, step=number * 10, metrics={"loss": abs(number - 4) + 0.5}, tags=tags)
        yield store


def steps(commits: Iterator[Commit] | tuple[Commit, ...]) -> list[int | None]:
    return [commit.step for commit in commits]


def disk_bytes(store: Store) -> int:
    return sum(path.stat().st_size for path in Path(store.path, "packs").rglob("*.pack"))


def test_a_plan_says_why_each_commit_stays(run: Store) -> None:
    plan = run.prune(Keep(last=2, every=50, best="min:loss", milestones=[10]), dry_run=True)
    assert {kept.commit.step: kept.reasons for kept in plan.kept} == {
        90: ("last 2", "head of main"),
        80: ("last 2",),
        70: ("last 2",),
        60: ("last 2",),
        50: ("every 50",),
        40: ("best min:loss",),
        20: ("tag kept-by-hand",),
        10: ("milestone",),
        0: ("every 50",),
    }
    assert steps(plan.deleted) == [30]
    assert steps(run.log("main")) == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0], "a dry run changes nothing"


def test_last_counts_healthy_commits(run: Store) -> None:
    assert not run.resolve("step:80").healthy
    kept = {entry.commit.step for entry in run.prune(Keep(last=2), dry_run=True).kept}
    assert kept == {90, 80, 70, 60, 20}, "60 is the second healthy commit; 20 is tagged"


def test_pruned_commits_are_passed_over_and_the_promised_bytes_come_back(run: Store) -> None:
    policy = Keep(last=1, best={"min:loss": 2})
    before = disk_bytes(run)
    plan = run.prune(policy)
    assert steps(run.log("main")) == [90, 50, 40, 20]
    assert run.resolve("main~1").step == 50
    assert disk_bytes(run) == before, "nothing is freed before gc"
    done = run.gc()
    assert done.freed_bytes == plan.freed_bytes == before - disk_bytes(run)
    assert run.verify(data=True).ok
    assert steps(run.log("main")) == [90, 50, 40, 20]


def test_thinning_keeps_weights_and_says_so(run: Store) -> None:
    weights = run.load("step:40", part="model")["w"]
    run.prune(Keep(every=10, optimizer=1))
    run.gc()
    thinned = run.resolve("step:40")
    assert thinned.holds == "weights-only"
    assert [part.name for part in thinned.thinned] == ["optimizer"]
    assert run.resolve("main").holds == "full"
    with pytest.raises(ThinnedError, match=r"'optimizer' of commit .* was thinned"):
        run.load("step:40")
    assert np.array_equal(run.load("step:40", part="model")["w"], weights)
    assert run.verify(data=True).ok


def test_a_part_that_holds_a_tied_tensor_is_not_thinned(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with Store.init(tmp_path / "store") as store:
        for step in range(3):
            shared = torch.full((1000,), float(step))
            store.commit({"optimizer": {"master": shared}, "model": {"w": shared}}, step=step)
        plan = store.prune(Keep(every=1, optimizer=1), dry_run=True)
        assert plan.thinned == ()


def test_delete_and_undelete(run: Store) -> None:
    gone = run.delete("step:30")
    with pytest.raises(DeletedError, match="bring it back"):
        run.load(str(gone.id))
    with pytest.raises(NotFoundError):
        run.resolve("step:30")
    assert run.undelete(gone.id.short).step == 30
    assert run.load("step:30")["optimizer"]["step"] == 30


def test_undelete_comes_too_late_after_gc(run: Store) -> None:
    gone = run.delete("step:30")
    run.gc()
    with pytest.raises(NotFoundError, match="purged by a gc"):
        run.undelete(gone.id)
    with pytest.raises(DeletedError, match="contents are gone"):
        run.load(str(gone.id))
    assert run.gc(dry_run=True).empty


@pytest.mark.parametrize("ref", ["main", "kept-by-hand"])
def test_what_a_name_points_to_is_not_deleted(run: Store, ref: str) -> None:
    with pytest.raises(StillNamedError, match="points to it"):
        run.delete(ref)
    assert len(list(run.log("main"))) == 10


def test_a_base_of_what_stays_survives_the_deletion_of_its_commit(tmp_path: Path) -> None:
    base = NOISE.standard_normal(300_000).astype(np.float32)
    with Store.init(tmp_path / "store") as store:
        store.commit({"w": base}, step=0)
        store.commit({"w": base * np.float32(1 + 1e-6)}, step=1)
        assert store.resolve("main").stored_bytes < base.nbytes // 2, "the second commit is a delta"
        store.delete("step:0")
        store.gc()
        assert np.array_equal(store.load("main")["w"], base * np.float32(1 + 1e-6))
        assert store.verify(data=True).ok


def test_deletions_outlive_the_index(run: Store) -> None:
    run.prune(Keep(last=1, optimizer=1))
    run.gc()
    seen = [(c.step, c.holds) for c in run.log("main")]
    run.close()
    for path in Path(run.path, "index", "lmdb").iterdir():
        path.unlink()
    with Store(run.path) as again:
        assert [(c.step, c.holds) for c in again.log("main")] == seen


def test_undo_takes_back_the_newest_operation_and_then_the_one_before(run: Store) -> None:
    head = run.resolve("main").id
    run.commit(state(100), step=100)
    run.tag("release")
    assert run.undo().what == (f"tag 'release': nothing -> {run.resolve('main').id.short}",)
    assert set(run.tags()) == {"kept-by-hand"}
    run.undo()
    assert run.resolve("main").id == head
    taken_back = next(run.oplog()).number
    run.undo(taken_back)
    assert run.resolve("main").step == 100, "an undo can be taken back by its number"


def test_undo_of_a_prune_brings_everything_back(run: Store) -> None:
    run.prune(Keep(last=1, optimizer=1))
    run.undo()
    assert len(list(run.log("main"))) == 10
    assert run.load("step:40")["optimizer"]["step"] == 40


def test_undo_refuses_when_something_stands_on_the_operation(run: Store) -> None:
    number = next(run.oplog()).number
    run.commit(state(100), step=100)
    with pytest.raises(CannotUndoError, match="moved since"):
        run.undo(number)
    run.prune(Keep(last=1))
    run.gc()
    with pytest.raises(CannotUndoError, match="purged by a gc"):
        run.undo(next(op.number for op in run.oplog() if op.operation == "delete"))


def test_within_counts_from_now(run: Store) -> None:
    assert run.prune(Keep(within="1h"), dry_run=True).deleted == ()
    nothing = run.prune(Keep(within=datetime.timedelta(0)), dry_run=True)
    assert {kept.commit.step for kept in nothing.kept} == {90, 20}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"last": 0}, "whole number from 1 on"),
        ({"every": True}, "whole number from 1 on"),
        ({"within": "soon"}, "is a duration such as"),
        ({"best": "val_loss"}, "min:METRIC or max:METRIC"),
        ({"best": {"min:loss": 0}}, "min:METRIC or max:METRIC"),
    ],
)
def test_a_policy_that_cannot_be_understood_is_refused_when_it_is_made(
    wrong: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        Keep(**wrong)  # type: ignore[arg-type]


def test_a_policy_without_rules_keeps_everything(run: Store) -> None:
    assert run.prune(Keep(), dry_run=True).deleted == ()
