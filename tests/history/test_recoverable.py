"""What can be brought back, as long as no gc came."""

from __future__ import annotations

from deltackpt import Keep, Store
from deltackpt.history.recoverable import Loss


def run_of(store: Store) -> Store:
    for step in range(5):
        store.commit({"model": {"w": step}, "optimizer": {"m": [float(step)] * 3}}, step=step)
    return store


def losses(store: Store) -> list[tuple[int | None, Loss, tuple[str, ...]]]:
    return [(found.commit.step, found.loss, found.parts) for found in store.recoverable()]


def test_nothing_is_lost_at_first(store: Store) -> None:
    assert run_of(store).recoverable() == []


def test_what_was_deleted_thinned_and_lost_its_name(store: Store) -> None:
    run_of(store)
    store.commit({"w": 1}, step=7, branch="dev", parent="step:1")
    store.delete_branch("dev")
    store.delete("step:2")
    store.prune(Keep(every=1, optimizer=2))
    assert losses(store) == [
        (7, Loss.UNNAMED, ()),
        (2, Loss.DELETED, ()),
        (1, Loss.THINNED, ("optimizer",)),
        (0, Loss.THINNED, ("optimizer",)),
    ]


def test_each_remedy_works(store: Store) -> None:
    run_of(store)
    store.commit({"w": 1}, step=7, branch="dev", parent="step:1")
    store.delete_branch("dev")
    store.prune(Keep(last=1, every=3, optimizer=1))
    for found in store.recoverable():
        command, *words = found.remedy.split()[1:]
        if command == "branch":
            store.branch("again", words[1])
        else:
            store.undelete(words[0])
    assert store.recoverable() == []
    assert [commit.step for commit in store.log("main") if not commit.thinned] == [4, 3, 2, 1, 0]
    assert store.resolve("again").step == 7


def test_after_a_gc_there_is_nothing_to_bring_back(store: Store) -> None:
    run_of(store)
    store.commit({"w": 1}, step=7, branch="dev", parent="step:1")
    store.delete_branch("dev")
    store.prune(Keep(last=1, every=3, optimizer=1))
    store.gc()
    assert store.recoverable() == []
