"""Conditions on commits, and choosing among them."""

from __future__ import annotations

import math

import pytest

from deltackpt import InvalidInputError, NotFoundError, Store
from deltackpt.history.where import MAX_CHARACTERS, MAX_NESTING, where


@pytest.fixture
def run(store: Store) -> Store:
    """Steps 100 to 400 on main with a loss, 250 on dev; not every one has an accuracy."""
    for step, metrics in {100: {"loss": 4.0}, 200: {"loss": 3.0, "acc/top-1": 0.5}, 300: {"loss": math.nan}}.items():
        store.commit({"n": step}, step=step, metrics=metrics)
    store.commit({"n": 250}, step=250, metrics={"loss": 2.5, "acc/top-1": 0.75}, branch="dev", parent="step:200")
    return store


@pytest.mark.parametrize(
    ("condition", "steps"),
    [
        ("loss < 3.5", [250, 200]),
        ("loss<3.5 and step > 200", [250]),
        ("loss >= 3 or acc/top-1 == .75", [250, 200, 100]),
        ("not loss < 100", [300]),
        ("(loss > 3 or step == 300) and branch == 'main'", [300, 100]),
        ('branch != "main"', [250]),
        ("healthy and step <= 1e2", [100]),
        ("missing", []),
        ("missing < 1", []),
        ("not missing", [250, 300, 200, 100]),
        ("acc/top-1", [250, 200]),
        ("step == 'main'", []),
        ("holds == 'partial'", [250, 300, 200, 100]),
        ("loss < -1 or step > +250", [300]),
    ],
)
def test_a_condition_chooses(run: Store, condition: str, steps: list[int]) -> None:
    assert [commit.step for commit in filter(where(condition), run.log())] == steps


@pytest.mark.parametrize(
    ("condition", "complaint"),
    [
        ("", "a number or a name expected at character 1"),
        ("loss <", "a number or a name expected at character 7, found 'the end'"),
        ("loss < 3 4", "nothing more expected at character 10, found '4'"),
        ("(loss < 3", r"'\)' expected"),
        ("loss = 3", "'= 3' makes no sense"),
        ("__import__('os')", "nothing more expected"),
        ("loss < 3 and and", "a number or a name expected"),
        ("(" * (MAX_NESTING + 1) + "1", "nested deeper"),
        ("not " * (MAX_NESTING + 1) + "1", "nested deeper"),
        ("1" * (MAX_CHARACTERS + 1), "more than"),
    ],
)
def test_what_is_no_condition_is_refused(condition: str, complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        where(condition)


def test_the_best_of_the_store_and_of_a_line(run: Store) -> None:
    assert run.best("min:loss").step == 250
    assert run.best("min:loss", "main").step == 200
    assert run.best("max:loss").step == 100, "not a number is never the best"
    with pytest.raises(NotFoundError, match=r"no commit has a metric 'los'; metrics are 'acc/top-1', 'loss'"):
        run.best("min:los")
    with pytest.raises(InvalidInputError, match="write min:METRIC"):
        run.best("loss")


def test_commits_are_compared_with_the_first(run: Store) -> None:
    rows = run.compare(["step:100", "step:200", "dev", "main"], "loss")
    assert [(row.commit.step, row.difference) for row in rows[:3]] == [(100, 0.0), (200, -1.0), (250, -1.5)]
    assert [row.difference for row in run.compare(["main", "dev"], "acc/top-1")] == [None, None]


def test_several_states_are_loaded_one_after_another(run: Store) -> None:
    assert [state["n"] for state in run.load_many(["dev", "step:100"])] == [250, 100]
    with pytest.raises(NotFoundError):
        run.load_many(["dev", "step:7"])
