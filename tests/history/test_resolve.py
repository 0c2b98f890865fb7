"""Naming a commit: one grammar, and an error that helps when nothing goes by the name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deltackpt import Commit, InvalidInputError, NotFoundError, Store


def state(seed: int) -> dict[str, Any]:
    return {"model": {"w": np.full(3, seed, np.float32)}}


@pytest.fixture
def line(store: Store) -> Store:
    """main: steps 100 to 500 with losses 5, 4, 1, 3, 1 and accuracy; dev: 400, 600 from step 300 on."""
    for step, loss in zip(range(100, 600, 100), [5.0, 4.0, 1.0, 3.0, 1.0], strict=True):
        store.commit(state(step), step=step, metrics={"val_loss": loss, "accuracy": 1 / loss, f"at-{step}": 0})
    store.commit(state(-4), step=400, branch="dev", parent="step:300", metrics={"val_loss": 0.5})
    store.commit(state(-6), step=600, branch="dev", metrics={"val_loss": 9.0})
    store.tag("warmup-done", "step:200")
    return store


def value(commit: Commit, store: Store) -> int:
    return int(store.load(commit)["model"]["w"][0])


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("main", 500),
        ("main~", 400),
        ("main~1", 400),
        ("main~3", 200),
        ("main~~~", 200),
        ("main~1~2", 200),
        ("main~0", 500),
        ("dev", -6),
        ("dev~1", -4),
        ("dev~2", 300),
        ("latest", -6),
        ("latest~1", -4),
        ("warmup-done", 200),
        ("warmup-done~1", 100),
        ("step:400", 400),
        ("step:400~1", 300),
        ("dev@step:400", -4),
        ("dev@step:200", 200),
        ("main@step:400", 400),
        ("min:val_loss", 500),
        ("max:val_loss", 100),
        ("max:accuracy", 500),
        ("dev@min:val_loss", -4),
        ("dev@min:val_loss~1", 300),
        ("dev@max:val_loss", -6),
        ("min:at-200", 200),
    ],
)
def test_a_ref_names_a_commit(line: Store, ref: str, expected: int) -> None:
    assert value(line.resolve(ref), line) == expected


def test_ids_and_their_prefixes(line: Store) -> None:
    commit = line.resolve("step:300")
    for ref in (str(commit.id), commit.id.short, str(commit.id)[:7], f"{commit.id.short}~0", commit, commit.id):
        assert line.resolve(ref) == commit
    assert line.resolve(f"{commit.id.short}~2") == line.resolve("step:100")


def test_a_prefix_of_several_ids_is_ambiguous(store: Store) -> None:
    seen: dict[str, Commit] = {}
    for step in range(3000):
        commit = store.commit({"n": step}, step=step)
        twin = seen.setdefault(str(commit.id)[:4], commit)
        if twin is not commit:
            break
    prefix = str(commit.id)[:4]
    with pytest.raises(InvalidInputError) as caught:
        store.resolve(prefix)
    listed = ", ".join(sorted((commit.id.short, twin.id.short)))
    assert str(caught.value) == f"{prefix!r} is the beginning of 2 commit ids: {listed}; give more digits"


def test_a_branch_wins_over_a_prefix(line: Store) -> None:
    prefix = line.resolve("step:300").id.short
    line.branch(prefix, "step:100")
    assert line.resolve(prefix).step == 100


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("mian", "no branch, tag or commit 'mian'; did you mean 'main'?"),
        ("HEAD", "no branch, tag or commit 'HEAD'; did you mean 'latest'?"),
        ("HEAD^^", "no branch, tag or commit 'HEAD^^'; did you mean 'latest~2'?"),
        ("main^", "no branch, tag or commit 'main^'; did you mean 'main~1'?"),
        ("250", "no branch, tag or commit '250'; did you mean 'step:250'?"),
        ("warmup", "no branch, tag or commit 'warmup'; did you mean 'warmup-done'?"),
        ("zzz", "no branch, tag or commit 'zzz'; there are 'dev', 'main', 'warmup-done'"),
        ("fff", "no branch, tag or commit 'fff'; there are 'dev', 'main', 'warmup-done'"),
        ("step:260", "branch 'main' has no commit at step 260; the nearest are step:200, step:300, step:400"),
        ("dev@step:500", "branch 'dev' has no commit at step 500; the nearest are step:300, step:400, step:600"),
        ("dve@step:500", "no branch 'dve'; did you mean 'dev'?"),
        ("min:loss", "no commit of branch 'main' has a metric 'loss'; its metrics are 'val_loss'"),
        (
            "dev@max:at-500",
            "no commit of branch 'dev' has a metric 'at-500'; its metrics are 'at-300', 'at-200', 'at-100'",
        ),
    ],
)
def test_a_ref_that_names_nothing_lists_near_matches(line: Store, ref: str, error: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        line.resolve(ref)
    assert str(caught.value) == error
    assert isinstance(caught.value, KeyError)


def test_going_back_past_the_beginning(line: Store) -> None:
    first = line.resolve("step:100")
    with pytest.raises(NotFoundError) as caught:
        line.resolve("main~9")
    assert str(caught.value) == f"'main~9': commit {first.id.short} (step 100), 4 back, has no parent"


@pytest.mark.parametrize("ref", ["", "~1", "@", "main@", "@main", "a@b@c", "main~x", "main~1x", None, 7, b"main"])
def test_what_is_no_expression(line: Store, ref: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^.* does not name a commit; see `deltackpt help refs`"):
        line.resolve(ref)


def test_only_a_selector_stands_after_at(line: Store) -> None:
    with pytest.raises(InvalidInputError) as caught:
        line.resolve("dev@latest")
    assert str(caught.value) == "'dev@latest': what follows '@' must be step:N, min:METRIC or max:METRIC"


def test_a_step_is_a_whole_number(line: Store) -> None:
    with pytest.raises(InvalidInputError) as caught:
        line.resolve("step:1e3")
    assert str(caught.value) == "'step:1e3' needs a whole number, such as step:1000"


def test_an_empty_store_says_how_to_begin(store: Store) -> None:
    for ref in ("main", "latest", "step:1", "min:loss"):
        with pytest.raises(NotFoundError, match=r"the store has no commits yet"):
            store.resolve(ref)


def test_metrics_that_are_nan_are_never_the_best(store: Store) -> None:
    for step, loss in enumerate([2.0, float("nan"), 3.0]):
        store.commit(state(step), step=step, metrics={"loss": loss})
    assert store.resolve("min:loss").step == 0
    assert store.resolve("max:loss").step == 2


def test_latest_follows_the_order_of_publishing_not_clocks_or_steps(line: Store) -> None:
    line.commit(state(7), step=7, branch="other")
    assert line.resolve("latest").step == 7
    line.branch("old", "step:100")
    assert line.resolve("latest").step == 7
