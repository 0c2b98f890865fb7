"""Branches and steps: lines begin, grow, and are left without being lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from disks import truth

from deltackpt import InvalidInputError, NotFoundError, Store


def state(value: int) -> dict[str, Any]:
    return {"model": {"w": np.full(1000, value, np.float32)}}


def steps(store: Store, ref: str) -> list[int | None]:
    return [commit.step for commit in store.log(ref)]


def test_a_new_branch_begins_without_a_parent(store: Store) -> None:
    store.commit(state(1), step=1)
    commit = store.commit(state(2), step=1, branch="dev")
    assert commit.parents == ()
    assert steps(store, "dev") == [1]


@pytest.mark.parametrize("parent", ["main", "main~0", "step:2", "latest", "best", "min:loss"])
def test_a_new_branch_begins_where_parent_says(store: Store, parent: str) -> None:
    store.commit(state(1), step=1, metrics={"loss": 2.0})
    head = store.commit(state(2), step=2, metrics={"loss": 1.0}, tags="best")
    commit = store.commit(state(3), step=3, branch="dev", parent=parent)
    assert commit.parents == (head.id,)
    assert steps(store, "dev") == [3, 2, 1]
    assert steps(store, "main") == [2, 1]


def test_parent_may_be_a_commit_or_its_id(store: Store) -> None:
    first = store.commit(state(1), step=1)
    store.commit(state(2), step=2)
    assert store.commit(state(3), step=3, branch="a", parent=first).parents == (first.id,)
    assert store.commit(state(3), step=3, branch="b", parent=first.id).parents == (first.id,)
    assert store.commit(state(3), step=3, branch="c", parent=str(first.id)[:8]).parents == (first.id,)


def test_a_parent_that_is_not_there_stores_nothing(store: Store) -> None:
    store.commit(state(1), step=1)
    before = truth(store)
    with pytest.raises(NotFoundError, match=r"^no branch, tag or commit 'mian'; did you mean 'main'\?$"):
        store.commit(state(2), step=2, parent="mian")
    assert truth(store) == before


@pytest.mark.parametrize("step", [100, 99, 0, -5])
def test_a_step_at_or_below_the_head_is_refused(store: Store, step: int) -> None:
    head = store.commit(state(1), step=100)
    before = truth(store)
    with pytest.raises(InvalidInputError) as caught:
        store.commit(state(2), step=step)
    assert str(caught.value) == (
        f"step {step} is not after step 100, which branch 'main' has reached ({head.id.short}); "
        "to rewind, name an older commit with --parent (parent=)"
    )
    assert truth(store) == before


def test_commits_without_a_step_are_always_welcome_and_change_nothing(store: Store) -> None:
    last = store.commit(state(1), step=100)
    store.commit(state(2))
    store.commit(state(2))
    with pytest.raises(InvalidInputError, match=rf"^step 5 is not after step 100, .* \({last.id.short}\)"):
        store.commit(state(3), step=5)
    store.commit(state(3), step=101)
    assert steps(store, "main") == [101, None, None, 100]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_whoever_rewinds_takes_up_any_step(store: Store, step: int) -> None:
    for value in (1, 2, 3):
        store.commit(state(value), step=value)
    again = store.commit(state(4), step=step, parent="step:2")
    assert steps(store, "main") == [step, 2, 1]
    assert store.resolve(f"step:{step}") == again


def test_a_branch_that_begins_somewhere_counts_as_it_likes(store: Store) -> None:
    base = store.commit(state(1), step=100_000)
    for step in (1, 2):
        store.commit(state(step), step=step, branch="tuned", parent=base if step == 1 else None)
    assert steps(store, "tuned") == [2, 1, 100_000]
    assert store.resolve("tuned@step:1").step == 1
    with pytest.raises(InvalidInputError, match=r"^step 2 is not after step 2"):
        store.commit(state(3), step=2, branch="tuned")


def test_naming_the_head_as_parent_frees_no_step(store: Store) -> None:
    head = store.commit(state(1), step=5)
    for parent in ("main", head, "step:5"):
        with pytest.raises(InvalidInputError, match=r"^step 5 is not after step 5"):
            store.commit(state(2), step=5, parent=parent)


def test_a_rewind_leaves_the_abandoned_line_reachable(store: Store) -> None:
    for step in (100, 200, 300):
        store.commit(state(step), step=step)
    spike = store.resolve("main")
    again = store.commit(state(-200), step=200, parent="step:100")
    assert steps(store, "main") == [200, 100]
    assert store.resolve("step:200") == again
    [left] = [name for name in store.branches() if name != "main"]
    assert left == f"abandoned/main-{spike.id.short}"
    assert steps(store, left) == [300, 200, 100]
    assert store.gc().dropped == ()
    assert store.load(spike)["model"]["w"][0] == 300
    assert store.load(f"{left}@step:200")["model"]["w"][0] == 200


def test_a_rewind_from_a_line_that_has_a_name_adds_none(store: Store) -> None:
    store.commit(state(1), step=1)
    store.commit(state(2), step=2, tags=["kept"])
    store.commit(state(3), step=2, parent="step:1")
    assert list(store.branches()) == ["main"]
    assert store.resolve("kept").step == 2


def test_rewinding_twice_keeps_both_lines(store: Store) -> None:
    store.commit(state(1), step=1)
    for value in (2, 3, 4):
        store.commit(state(value), step=2, parent="step:1")
    assert sorted(store.load(name)["model"]["w"][0] for name in store.branches()) == [2, 3, 4]


def test_naming_the_head_as_parent_is_no_rewind(store: Store) -> None:
    head = store.commit(state(1), step=1)
    store.commit(state(2), step=2, parent=head)
    assert list(store.branches()) == ["main"]


def test_tags_are_given_once(store: Store) -> None:
    store.commit(state(1), step=1, tags=["best", "best"])
    before = truth(store)
    with pytest.raises(InvalidInputError) as caught:
        store.commit(state(2), step=2, tags=["new", "best"])
    assert str(caught.value) == (
        "tag 'best' exists already; move it with `deltackpt tag --force`, or choose another name"
    )
    assert truth(store) == before
    assert list(store.tags()) == ["best"]


CYCLE: list[Any] = []
CYCLE.append(CYCLE)

BAD_REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "metric text": ({"metrics": {"loss": "low"}}, "metric 'loss' is not a number: 'low'; pass a float"),
    "metric None": ({"metrics": {"loss": None}}, "metric 'loss' is not a number: None; pass a float"),
    "metric bool": ({"metrics": {"loss": True}}, "metric 'loss' is not a number: True; pass a float"),
    "metric list": ({"metrics": {"loss": [1.0]}}, "metric 'loss' is not a number: [1.0]; pass a float"),
    "metric complex": ({"metrics": {"loss": 1j}}, "metric 'loss' is not a number: 1j; pass a float"),
    "metric huge": (
        {"metrics": {"loss": 10**400}},
        f"metric 'loss' is not a number: 1{'0' * 76}...; pass a float",
    ),
    "metric gigantic": (
        {"metrics": {"loss": 10**9000}},
        "metric 'loss' is not a number: <int too long to show>; pass a float",
    ),
    "metric numpy bool": ({"metrics": {"ok": np.True_}}, "metric 'ok' is not a number: np.True_; pass a float"),
    "metric torch bool": (
        {"metrics": {"ok": torch.tensor(True)}},
        "metric 'ok' is not a number: tensor(True); pass a float",
    ),
    "metric matrix": (
        {"metrics": {"loss": torch.zeros(2, 2)}},
        "metric 'loss' is not a number: tensor([[0., 0.], [0., 0.]]); pass a float",
    ),
    "metric vector": (
        {"metrics": {"loss": np.ones(2)}},
        "metric 'loss' is not a number: array([1., 1.]); pass a float",
    ),
    "metric name": (
        {"metrics": {"a~b": 1.0}},
        "a metric's name is a text without '~', '@', '#' and line breaks, not 'a~b'",
    ),
    "metric name of a store": (
        {"metrics": {"a#b": 1.0}},
        "a metric's name is a text without '~', '@', '#' and line breaks, not 'a#b'",
    ),
    "metrics list": ({"metrics": [1.0]}, "metrics is a dict of numbers by name, not [1.0]"),
    "step text": ({"step": "5"}, "step is a whole number of 64 bits, not '5'"),
    "step half": ({"step": 0.5}, "step is a whole number of 64 bits, not 0.5"),
    "step bool": ({"step": True}, "step is a whole number of 64 bits, not True"),
    "step vector": ({"step": torch.zeros(2, 2)}, "step is a whole number of 64 bits, not tensor([[0., 0.], [0., 0.]])"),
    "step huge": ({"step": 1 << 63}, "step is a whole number of 64 bits, not 9223372036854775808"),
    "message": ({"message": None}, "message is a text of valid Unicode, not None"),
    "message surrogate": ({"message": "\ud800"}, "message is a text of valid Unicode, not '\\ud800'"),
    "message long": (
        {"message": "x" * 65537},
        "the message is longer than 65536 bytes; keep long texts in meta",
    ),
    "tags": ({"tags": 5}, "tags is the name of one tag, or a list of names, not 5"),
    "conflict": ({"on_conflict": "merge"}, "on_conflict is 'fail' or 'rebase', not 'merge'"),
    "config": (
        {"config": {"n": [1, 1 << 70]}},
        "config/n/1: 1180591620717411303424 does not fit 64 bits; pass it as text or as a float",
    ),
    "meta of a tensor": (
        {"meta": {"t": torch.ones(2)}},
        "meta/t: a torch.Tensor is no plain data, which is all that config and meta hold; store it in the state",
    ),
    "meta of an array": (
        {"meta": {"t": np.ones(2)}},
        "meta/t: a numpy.ndarray is no plain data, which is all that config and meta hold; store it in the state",
    ),
    "config of a function": (
        {"config": {"act": print}},
        "config/act: a builtin_function_or_method is no plain data, which is all that config and meta hold; "
        "pass its name, or a dict of its values",
    ),
    "config of a class": (
        {"config": {"act": torch.nn.GELU}},
        "config/act: a type is no plain data, which is all that config and meta hold; "
        "pass its name, or a dict of its values",
    ),
    "config key": ({"config": {frozenset({1}): 1}}, "config: frozenset({1}) cannot be a key; use text or numbers"),
    "config cycle": (
        {"config": CYCLE},
        "config is nested too deep, or contains itself; pass plain data",
    ),
    "config text": ({"config": ["\ud800"]}, "config/0: '\\ud800' is not valid Unicode; pass bytes"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_what_makes_no_sense_is_refused_in_one_line(store: Store, name: str) -> None:
    store.commit(state(1), step=1)
    before = truth(store)
    said, error = BAD_REQUESTS[name]
    with pytest.raises(InvalidInputError) as caught:
        store.commit(state(2), **said)
    assert str(caught.value) == error
    assert truth(store) == before


def test_numbers_of_other_libraries_are_numbers(store: Store) -> None:
    commit = store.commit(state(1), step=torch.tensor(7), metrics={"a": np.int64(3), "b": torch.tensor(0.5)})
    assert (commit.step, commit.metrics) == (7, {"a": 3.0, "b": 0.5})
    assert store.commit(state(1), step=np.int32(8)).step == 8


def test_what_cannot_be_stored_is_named_by_its_path(store: Store) -> None:
    store.commit(state(1), step=1)
    before = truth(store)
    with pytest.raises(InvalidInputError) as caught:
        store.commit({"model": {}, "optimizer": {"state": {3: {"hook": print}}}}, step=2)
    assert str(caught.value).startswith("optimizer/state/3/hook: functions cannot be stored")
    with pytest.raises(InvalidInputError, match=r"a/b"):
        store.commit({"a": {"b": np.ones(3)}, "a/b": np.ones(3)}, step=2)
    assert truth(store) == before
