"""The graph of branches, drawn exactly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deltackpt.cli.render.graph import draw


def drawn(*nodes: tuple[str, str]) -> list[str]:
    """Each node as (name, names of its parents)."""
    return [f"{line} {node}" if node else line for line, node in draw((n, list(p)) for n, p in nodes)]


def test_one_line_is_a_row_of_stars() -> None:
    assert drawn(("c", "b"), ("b", "a"), ("a", "")) == ["* c", "* b", "* a"]


def test_a_branch_leaves_and_meets() -> None:
    assert drawn(("d", "b"), ("c", "b"), ("b", "a"), ("a", "")) == ["* d", "| * c", "|/", "* b", "* a"]


def test_a_far_column_reaches_over() -> None:
    assert drawn(("e", "a"), ("d", "b"), ("c", "a"), ("a", ""), ("b", "")) == [
        "* e",
        "| * d",
        "| | * c",
        "|_|/",
        "* | a",
        " /",
        "* b",
    ]


def test_columns_to_the_right_move_up() -> None:
    assert drawn(("e", "a"), ("d", "a"), ("c", "b"), ("a", ""), ("b", "")) == [
        "* e",
        "| * d",
        "| | * c",
        "|/ /",
        "* | a",
        " /",
        "* b",
    ]


def test_a_merge_forks_downwards() -> None:
    assert drawn(("d", "bc"), ("c", "a"), ("b", "a"), ("a", "")) == ["* d", "|\\", "| * c", "* | b", "|/", "* a"]


def test_a_parent_that_is_not_listed_ends_the_column() -> None:
    assert drawn(("c", "x"), ("b", "a"), ("a", "")) == ["* c", "* b", "* a"]


@given(st.lists(st.lists(st.integers(0, 30), max_size=3, unique=True), max_size=30))
def test_every_commit_is_drawn_once_with_one_star(parents: list[list[int]]) -> None:
    nodes = [(node, [p for p in above if p > node]) for node, above in enumerate(parents)]
    lines = list(draw(nodes))
    assert [node for _, node in lines if node is not None] == [node for node, _ in nodes]
    assert all(line.count("*") == (node is not None) for line, node in lines)
    assert all(set(line) <= set("*|/\\_ ") and line == line.rstrip() for line, _ in lines)
