"""The log: one line a commit, with the graph of branches before it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import click

from deltackpt.cli.render.commits import Names, added, brief_metrics, illness, step, subject
from deltackpt.cli.render.graph import draw
from deltackpt.cli.text import moment
from deltackpt.history.commits import Commit
from deltackpt.ids import CommitId

UNNAMED = "(unnamed)"


def unnamed_heads(commits: Sequence[Commit], names: Names) -> set[CommitId]:
    """Where lines end that no branch and no tag reaches, among all ``commits`` of a store, newest first."""
    reached = {*names.branches, *names.tags}
    for commit in commits:
        if commit.id in reached:
            reached.update(commit.parents)
    parents = {parent for commit in commits for parent in commit.parents}
    return {commit.id for commit in commits} - reached - parents


def log_lines(commits: Sequence[Commit], names: Names, unnamed: Collection[CommitId] = ()) -> Iterator[str]:
    """``commits``, newest first; ``unnamed`` are marked as such."""
    if not commits:
        yield "no commits yet; make one with `deltackpt commit`"
        return
    known = {commit.id: commit for commit in commits}
    widths = _widths(commits)
    for graph, shows in draw((commit.id, commit.parents) for commit in commits):
        mark = UNNAMED if shows in unnamed else ""
        yield graph if shows is None else f"{graph} {_line(known[shows], names, widths, mark)}"


def ranked_lines(commits: Sequence[Commit], names: Names) -> Iterator[str]:
    """``commits`` in an order that is not that of history, so without its graph."""
    if not commits:
        yield "no commit has that metric"
        return
    widths = _widths(commits)
    yield from (_line(commit, names, widths) for commit in commits)


def _widths(commits: Sequence[Commit]) -> tuple[int, int]:
    return max(len(step(commit)) for commit in commits), max(len(added(commit)) for commit in commits)


def _line(commit: Commit, names: Names, widths: tuple[int, int], mark: str = "") -> str:
    marks = (_refs(names, commit.id), mark, click.style(illness(commit), fg="red") if not commit.healthy else "")
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
