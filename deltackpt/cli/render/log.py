"""The log: one line a commit, with the graph of branches before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from deltackpt.cli.render.commits import Names, added, brief_metrics, illness, step, subject
from deltackpt.cli.render.graph import draw
from deltackpt.cli.text import moment
from deltackpt.history.commits import Commit
from deltackpt.ids import CommitId


def log_lines(commits: Sequence[Commit], names: Names) -> Iterator[str]:
    """``commits``, newest first."""
    if not commits:
        yield "no commits yet; make one with `deltackpt commit`"
        return
    known = {commit.id: commit for commit in commits}
    widths = _widths(commits)
    for graph, shows in draw((commit.id, commit.parents) for commit in commits):
        yield graph if shows is None else f"{graph} {_line(known[shows], names, widths)}"


def ranked_lines(commits: Sequence[Commit], names: Names) -> Iterator[str]:
    """``commits`` in an order that is not that of history, so without its graph."""
    if not commits:
        yield "no commit has that metric"
        return
    widths = _widths(commits)
    yield from (_line(commit, names, widths) for commit in commits)


def _widths(commits: Sequence[Commit]) -> tuple[int, int]:
    return max(len(step(commit)) for commit in commits), max(len(added(commit)) for commit in commits)


def _line(commit: Commit, names: Names, widths: tuple[int, int]) -> str:
    marks = ((_refs(names, commit.id)), click.style(illness(commit), fg="red") if not commit.healthy else "")
    pieces = (
        click.style(commit.id.short, fg="yellow"),
        moment(commit.time),
        step(commit).rjust(widths[0]),
        added(commit).rjust(widths[1]),
        *marks,
        brief_metrics(commit),
        subject(commit),
    )
    return "  ".join(piece for piece in pieces if piece)


def _refs(names: Names, commit: CommitId) -> str:
    line = names.line(commit)
    return click.style(line, fg="cyan") if line else ""
