"""Two writers: on different branches both succeed; on one, the second hears of it or rebases. Nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from disks import InterruptedDisk, opened
from patience import outputs

from deltackpt import ConflictError, InvalidInputError, Store


def state(value: int) -> dict[str, Any]:
    generator = np.random.default_rng(value)
    return {"model": {"w": generator.integers(0, 256, 300_000, np.uint8)}}


def same(store: Store, ref: Any, value: int) -> bool:
    return np.array_equal(store.load(ref)["model"]["w"], state(value)["model"]["w"])


def test_the_loser_hears_of_both_commits_and_its_data_is_kept(store: Store) -> None:
    store.commit(state(1), step=1)
    late = opened(store.path, InterruptedDisk(lambda: store.commit(state(2), step=2) and None))
    with pytest.raises(ConflictError) as caught:
        late.commit(state(3), step=3)
    winner = store.resolve("main")
    error: Any = caught.value
    assert (error.theirs, winner.step) == (winner.id, 2)
    assert str(error) == (
        f"branch 'main' now stands at {winner.id.short}, so our commit {error.ours.short} was not published; "
        "its data is kept: commit again, or with --on-conflict rebase (on_conflict='rebase')"
    )
    retried = late.commit(state(3), step=3)
    assert retried.parents == (winner.id,)
    assert retried.stored_bytes < 2000
    assert same(store, "main", 3)
    assert same(store, "main~1", 2)


def test_rebase_takes_the_new_head_as_parent(store: Store) -> None:
    store.commit(state(1), step=1)
    late = opened(store.path, InterruptedDisk(lambda: store.commit(state(2), step=2) and None))
    commit = late.commit(state(3), step=3, on_conflict="rebase")
    assert [c.step for c in store.log("main")] == [3, 2, 1]
    assert commit.parents == (store.resolve("main~1").id,)
    assert all(same(store, f"step:{n}", n) for n in (1, 2, 3))


def test_a_rebase_that_would_step_back_is_refused(store: Store) -> None:
    store.commit(state(1), step=1)
    late = opened(store.path, InterruptedDisk(lambda: store.commit(state(9), step=9) and None))
    with pytest.raises(InvalidInputError, match=r"^step 3 is not after step 9, which branch 'main' has reached"):
        late.commit(state(3), step=3, on_conflict="rebase")
    assert store.resolve("main").step == 9


def test_a_rebase_does_not_replace_a_parent_that_was_named(store: Store) -> None:
    first = store.commit(state(1), step=1)
    late = opened(store.path, InterruptedDisk(lambda: store.commit(state(2), step=1, branch="dev") and None))
    with pytest.raises(ConflictError):
        late.commit(state(3), step=3, branch="dev", parent=first, on_conflict="rebase")
    assert [commit.step for commit in store.log("dev")] == [1]


def test_the_health_of_a_rebased_commit_is_told_from_its_new_parent(store: Store) -> None:
    ill = {"w": np.array([1.0, np.nan])}
    store.commit({"w": np.array([1.0, 2.0])}, step=1)
    late = opened(store.path, InterruptedDisk(lambda: store.commit(ill, step=2) and None))
    still_ill = late.commit(ill, step=3, on_conflict="rebase")
    assert (still_ill.healthy, still_ill.nonfinite) == (False, ())
    late = opened(store.path, InterruptedDisk(lambda: store.commit({"w": np.ones(2)}, step=4) and None))
    fallen = late.commit(ill, step=5, on_conflict="rebase")
    assert (fallen.healthy, fallen.nonfinite) == (False, ("w",))
    assert len(fallen.parents) == 1


def test_two_first_commits_of_one_branch(store: Store) -> None:
    late = opened(store.path, InterruptedDisk(lambda: store.commit(state(1), step=1) and None))
    with pytest.raises(ConflictError):
        late.commit(state(2), step=2)
    assert [commit.step for commit in store.log()] == [1]


def test_another_branch_is_no_conflict(store: Store) -> None:
    store.commit(state(1), step=1)
    late = opened(store.path, InterruptedDisk(lambda: store.commit(state(2), step=1, branch="dev") and None))
    late.commit(state(3), step=2)
    assert same(store, "main", 3)
    assert same(store, "dev", 2)


def test_a_branch_that_was_deleted_meanwhile_is_a_conflict(store: Store) -> None:
    store.commit(state(1), step=1, branch="dev")
    late = opened(store.path, InterruptedDisk(lambda: store.delete_branch("dev")))
    with pytest.raises(ConflictError, match=r"^branch 'dev' was deleted meanwhile, so our commit "):
        late.commit(state(2), step=2, branch="dev")


def test_a_tag_that_was_taken_meanwhile_is_refused(store: Store) -> None:
    store.commit(state(1), step=1)
    late = opened(store.path, InterruptedDisk(lambda: store.tag("best")))
    with pytest.raises(InvalidInputError, match=r"^tag 'best' exists already"):
        late.commit(state(2), step=2, tags=["best"])
    assert store.tags()["best"].step == 1
    assert store.resolve("main").step == 1


def test_a_gc_meanwhile_costs_a_commit_nothing_but_time(store: Store) -> None:
    store.commit(state(1), step=1)
    store.commit(state(2), step=1, branch="dev")
    store.delete_branch("dev")
    late = opened(store.path, InterruptedDisk(lambda: store.gc() and None))
    late.commit(state(2), step=2)
    assert same(Store(store.path), "main", 2)
    assert store.verify(data=True).ok


WRITER = """
import sys
import numpy as np
import deltackpt

path, branch, policy, first = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
store = deltackpt.Store(path)
conflicts = 0
for number in range(first, first + 12):
    try:
        store.commit({"w": np.full(20_000, number)}, branch=branch, message=str(number), on_conflict=policy)
    except deltackpt.ConflictError:
        conflicts += 1
print(conflicts)
"""


def written(store: Store, *arguments: tuple[str, str, str]) -> list[int]:
    """Start a writer process for each (branch, policy, first number); how many conflicts each met."""
    command = [sys.executable, "-c", WRITER, store.path]
    running = [subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True) for words in arguments]
    answers = [said for said, _ in outputs(running)]
    assert [process.returncode for process in running] == [0] * len(running)
    return [int(answer) for answer in answers]


def test_two_processes_on_two_branches_both_succeed(store: Store) -> None:
    assert written(store, ("a", "fail", "0"), ("b", "fail", "100")) == [0, 0]
    assert [commit.message for commit in store.log("a")] == [str(n) for n in reversed(range(12))]
    assert [commit.message for commit in store.log("b")] == [str(n) for n in reversed(range(100, 112))]
    assert store.load("a~5")["w"].tolist() == [6] * 20_000


def test_two_processes_on_one_branch_rebase(store: Store) -> None:
    assert written(store, ("main", "rebase", "0"), ("main", "rebase", "100")) == [0, 0]
    messages = [int(commit.message) for commit in store.log("main")]
    assert sorted(messages) == [*range(12), *range(100, 112)]
    assert [n for n in messages if n < 100] == sorted((n for n in messages if n < 100), reverse=True)
    assert all(store.load(commit)["w"][0] == int(commit.message) for commit in store.log("main"))


def test_two_processes_on_one_branch_lose_only_what_they_were_told(store: Store) -> None:
    conflicts = written(store, ("main", "fail", "0"), ("main", "fail", "100"))
    messages = [int(commit.message) for commit in store.log("main")]
    assert len(messages) == 24 - sum(conflicts)
    assert sum(n < 100 for n in messages) == 12 - conflicts[0]
    assert store.verify(data=True).ok
