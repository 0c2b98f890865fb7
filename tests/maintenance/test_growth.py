"""A store that is kept small does not grow: what a long run leaves under a policy, and what that costs it."""

from __future__ import annotations

from pathlib import Path

from training import training

from deltackpt import Keep, Options, Store


def occupied(store: Store) -> int:
    """Bytes of everything in the folder but the index, which is a cache, and the reserve."""
    apart = {Path(store.path, "index"), Path(store._repository.chunks.layout.reserve)}
    files = (path for path in Path(store.path).rglob("*") if path.is_file() and not apart & set(path.parents))
    return sum(path.stat().st_size for path in files)


def test_after_200_commits_under_keep_last_3_no_more_is_left_than_three_whole_states(tmp_path: Path) -> None:
    # No link fits such a budget, so every state is stored whole.
    with Store.init(tmp_path / "run") as store, Store.init(tmp_path / "b", options=Options(chain_budget=0.1)) as whole:
        largest = 0
        for state in training(200):
            store.commit(state, step=state["step"])
            store.prune(Keep(last=3))
            store.gc()
            if state["step"] > 100:
                largest = max(largest, occupied(store))
            if state["step"] > 197:
                whole.commit(state, step=state["step"])
        assert largest <= 1.1 * occupied(whole)
        assert [commit.step for commit in store.log("main")] == [200, 199, 198]
        assert store.verify(data=True).ok
