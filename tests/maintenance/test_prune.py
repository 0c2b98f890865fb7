"""Stories of a run that keeps some of its commits, and of deletions taken back in time or too late."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from deltackpt import Keep, Store
from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.history.commits import Commit, DeletedError, ThinnedError
from deltackpt.history.deletion import StillNamedError
from deltackpt.history.oplog import CannotUndoError
from deltackpt.maintenance.policy import NoPolicyError

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


def steps(commits: Iterable[Commit]) -> list[int | None]:
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


def test_a_policy_without_rules_keeps_everything(run: Store) -> None:
    assert run.prune(Keep(), dry_run=True).deleted == ()


def test_the_optimizer_of_the_last_healthy_commit_stays(run: Store) -> None:
    plan = run.prune(Keep(every=10, optimizer=2), dry_run=True)
    assert [commit.step for commit, part in plan.thinned] == [50, 40, 30, 20, 10, 0], "90 and 60 are healthy"


def test_a_tag_of_the_policy_keeps_its_commit_whole(run: Store) -> None:
    run.tag("release-1", "step:10")
    plan = run.prune(Keep(tags="release-*", optimizer=1), dry_run=True)
    assert {kept.commit.step: kept.reasons for kept in plan.kept} == {
        90: ("head of main",),
        20: ("tag kept-by-hand",),
        10: ("tagged", "tag release-1"),
    }
    assert {commit.step for commit, _ in plan.thinned} == {20}


def test_a_line_that_only_a_tag_reaches_is_a_line(run: Store) -> None:
    for step in range(11, 16):
        run.commit(state(step), step=step, branch="dev", parent="step:10" if step == 11 else None)
    run.tag("end-of-dev", "dev")
    run.delete_branch("dev")
    plan = run.prune(Keep(last=2))
    kept = {kept.commit.step: kept.reasons for kept in plan.kept}
    assert kept[15] == ("last 2", "tag end-of-dev")
    assert kept[14] == ("last 2",)
    assert {commit.step for commit in plan.deleted} == {0, 10, 11, 12, 13, 30, 40, 50}


def test_one_branch_alone(run: Store) -> None:
    for step in range(11, 16):
        run.commit(state(step), step=step, branch="dev", parent="step:10" if step == 11 else None)
    plan = run.prune(Keep(last=1), branches=["dev"])
    assert {commit.step for commit in plan.deleted} == {11, 12, 13, 14}
    assert {kept.commit.step: kept.reasons for kept in plan.kept}[0] == ("on main",)
    with pytest.raises(NotFoundError, match=r"no branch 'dve'; did you mean 'dev'\?"):
        run.prune(Keep(last=1), branches=["dve"])


def test_pruned_and_one_of_them_brought_back(run: Store) -> None:
    gone = run.resolve("step:30").id
    before = [part.name for part in run.resolve("step:40").parts]
    run.prune(Keep(last=1, best="min:loss", optimizer=1))
    assert run.resolve("step:40").thinned
    assert run.undelete(gone).step == 30
    assert run.undelete(run.resolve("step:40").id).step == 40
    assert [part.name for part in run.resolve("step:40").parts] == before
    run.gc()
    assert steps(run.log("main")) == [90, 40, 30, 20]
    assert run.load("step:40")["optimizer"]["step"] == 40
    assert run.verify(data=True).ok


def test_what_a_gc_has_purged_stays_away_and_the_rest_comes_back(run: Store) -> None:
    run.prune(Keep(every=10, optimizer=1))
    run.gc()
    gone = run.delete("step:30")
    assert run.undelete(gone.id).holds == "weights-only"
    with pytest.raises(NotFoundError, match="purged by a gc"):
        run.undelete(gone.id)
    assert run.load("step:30", part="model")["w"].size == 200_000


def packs_and_log(store: Store) -> int:
    return disk_bytes(store) + sum(path.stat().st_size for path in Path(store.path, "log").glob("*/*"))


def test_a_budget_drops_the_oldest_optimizers_first(run: Store) -> None:
    plan = run.prune(Keep(max_size=packs_and_log(run) - 1_300_000))
    assert [(commit.step, part) for commit, part in plan.thinned] == [(0, "optimizer"), (10, "optimizer")]
    assert plan.deleted == ()
    assert plan.squeezed == {run.resolve(f"step:{step}").id for step in (0, 10)}
    assert plan.excess_bytes == 0


def test_then_the_oldest_commits(run: Store) -> None:
    run.tag("other", "step:10")
    before = packs_and_log(run)
    plan = run.prune(Keep(best="min:loss", every=10, max_size=7_000_000), dry_run=True)
    assert {commit.step for commit, _ in plan.thinned} == {50, 60, 70, 80}
    assert steps(plan.deleted) == [30, 0]
    assert plan.left_bytes <= 7_000_000
    assert plan.left_bytes == before - plan.freed_bytes
    one_less = run.prune(Keep(best="min:loss", every=10, max_size=plan.left_bytes), dry_run=True)
    assert (one_less.deleted, one_less.thinned) == (plan.deleted, plan.thinned), "no more than is needed"
    more = run.prune(Keep(best="min:loss", every=10, max_size=plan.left_bytes - 1), dry_run=True)
    assert len(more.deleted) == 3


@pytest.mark.parametrize("limit", [1, 3_000_000, 5_000_000, 7_000_000, 9_000_000, 11_000_000, 10**9])
def test_what_is_left_is_what_was_said(run: Store, limit: int) -> None:
    before = packs_and_log(run)
    plan = run.prune(Keep(max_size=limit))
    assert plan.left_bytes == before - plan.freed_bytes
    assert plan.excess_bytes == max(0, plan.left_bytes - limit)
    assert run.gc().freed_bytes == plan.freed_bytes
    assert run.verify(data=True).ok


def test_what_no_budget_may_touch(run: Store) -> None:
    run.commit({"model": {"w": np.full(200_000, np.nan, np.float32)}}, step=100)
    plan = run.prune(Keep(best={"min:loss": 1}, last=20, max_size=1))
    assert [kept.commit.step for kept in plan.kept] == [100, 90, 40, 20], "90 is the newest healthy commit"
    assert plan.thinned == ()
    assert plan.excess_bytes == plan.left_bytes - 1
    run.gc()
    assert run.load("step:90")["optimizer"]["step"] == 90


def test_a_policy_lives_in_the_store(run: Store) -> None:
    assert run.policy is None
    with pytest.raises(NoPolicyError, match=r"nothing says what to keep: '.*keep.toml' does not exist"):
        run.prune()
    run.policy = Keep(last=1)
    run.policy = Keep(last=1, best="min:loss")
    assert Path(run.path, "keep.toml").read_text() == (
        '# What `deltackpt prune` keeps in this store.\nlast = 1\n\n[best]\n"min:loss" = 1\n'
    )
    assert list(Path(run.path, "tmp").iterdir()) == []
    with Store(run.path) as other:
        assert steps(kept.commit for kept in other.prune(dry_run=True).kept) == [90, 40, 20]
    Path(run.path, "keep.toml").write_text("lost = 1\n")
    with pytest.raises(InvalidInputError, match=r"keep.toml' has no field 'lost'; did you mean 'last'\?"):
        run.prune()


def test_a_branch_that_was_deleted_with_all_it_held_comes_back_by_undo(run: Store) -> None:
    made = run.commit(state(15), step=15, branch="dev", parent="step:10")
    run.delete_branch("dev")
    run.undo()
    run.gc()
    assert run.resolve("dev").id == made.id
    assert run.load("dev")["optimizer"]["step"] == 15
