"""The graph of branches, drawn beside a list of commits, newest first: each line of commits has a column.

* b2          a commit stands in the column of its newest child
| * d1        a commit without one opens a column
|/            columns that lead to one commit meet above it
* b1
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Node = TypeVar("Node")


def draw(nodes: Iterable[tuple[Node, Sequence[Node]]]) -> Iterator[tuple[str, Node | None]]:
    """Lines of the graph, with the node that each shows, or None for a line between two.

    ``nodes`` are (node, parents), every node before its parents. A parent that never comes ends its column.
    """
    ordered = list(nodes)
    known = {node for node, _ in ordered}
    columns: list[Node] = []
    for node, parents in ordered:
        if node not in columns:
            columns.append(node)
        at = columns.index(node)
        for column in reversed([c for c, expected in enumerate(columns) if expected == node and c != at]):
            yield _meeting(len(columns), at, column), None
            del columns[column]
        yield _row(len(columns), at), node
        yield from _follow(columns, at, [parent for parent in parents if parent in known])


def _follow(columns: list[Node], at: int, parents: Sequence[Node]) -> Iterator[tuple[str, None]]:
    """Let the column at ``at`` lead on to ``parents``, with a line where others have to move."""
    if not parents:
        del columns[at]
        if at < len(columns):
            yield _line(len(columns) + 1, dict.fromkeys(range(at + 1, len(columns) + 1), "/"), skip=at), None
        return
    columns[at] = parents[0]
    for extra in parents[1:]:
        columns.insert(at + 1, extra)
        yield _forking(len(columns), at), None


def _row(count: int, at: int) -> str:
    return " ".join("*" if column == at else "|" for column in range(count))


def _meeting(count: int, into: int, column: int) -> str:
    """``|_|/``: the line that brings ``column`` to ``into``; those to its right move up."""
    line = list(_line(count, dict.fromkeys(range(column, count), "/")))
    for gap in range(2 * into + 1, 2 * column - 1, 2):
        line[gap] = "_"
    return "".join(line).rstrip()


def _forking(count: int, at: int) -> str:
    """``|\\ \\``: a column opens right of ``at``; those to its right make room."""
    line = [" "] * (2 * count)
    for column in range(at + 1):
        line[2 * column] = "|"
    for column in range(at + 1, count):
        line[2 * column - 1] = "\\"
    return "".join(line).rstrip()


def _line(count: int, moving: dict[int, str], skip: int | None = None) -> str:
    """Columns as they are, but for those that move one place to the left."""
    line = [" "] * (2 * count)
    for column in range(count):
        if column in moving:
            line[2 * column - 1] = moving[column]
        elif column != skip:
            line[2 * column] = "|"
    return "".join(line).rstrip()
