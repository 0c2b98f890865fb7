"""``deltackpt log``: the history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import click

from deltackpt.cli.address import REF, Address, open_store
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.commits import Names, commit_document
from deltackpt.cli.render.log import log_lines, ranked_lines, unnamed_heads
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.errors import InvalidInputError
from deltackpt.history.commits import Commit
from deltackpt.ids import CommitId


@click.command("log")
@click.argument("ref", required=False, type=REF)
@click.option("-n", "--number", type=click.IntRange(min=0), help="Show this many commits at most.")
@click.option("--where", "condition", metavar="CONDITION", help="Only these: 'val_loss < 2.5 and step > 1000'.")
@click.option("--sort", "metric", metavar="METRIC", help="By a metric or step, least first; -METRIC: greatest.")
@click.option(
    "--deleted", is_flag=True, help="Show what was deleted, thinned or lost its name and can be brought back."
)
@json_option
@shared_options
@click.pass_obj
def command(
    settings: Settings,
    ref: Address | None,
    number: int | None,
    condition: str | None,
    metric: str | None,
    deleted: bool,
) -> None:
    """Show commits, newest first: every branch as a graph, or the line of REF and its parents alone.

    Each commit shows its id, time, step, what it added to the store, metrics and message. A CONDITION compares step,
    branch, message, holds, healthy and metrics with numbers and quoted texts, with and, or, not and brackets.
    """
    if deleted:
        _report_deleted(settings, ref, number)
        return
    with open_store(settings, ref) as store, Bar(settings, "reading the history"):
        found = list(store.log(ref.ref if ref else None))
        names = Names(store)
    history = list(_chosen(found, condition, metric))
    # What lies on the line of a REF says nothing of what else reaches it.
    unnamed = unnamed_heads(found, names) if ref is None else set()
    commits = history[:number]
    settings.report(
        lambda: [commit_document(c, names) for c in commits],
        lambda: _lines(commits, names, unnamed, metric) if commits or not history else (),
    )


def _lines(commits: Sequence[Commit], names: Names, unnamed: set[CommitId], metric: str | None) -> Iterator[str]:
    return log_lines(commits, names, unnamed) if metric is None else ranked_lines(commits, names)


def _chosen(commits: Iterable[Commit], condition: str | None, metric: str | None) -> Iterable[Commit]:
    if condition is not None:
        from deltackpt.history.where import where

        commits = filter(where(condition), commits)
    if metric is not None:
        from deltackpt.history.selection import ranked

        commits = ranked(commits, metric.removeprefix("-"), greatest_first=metric.startswith("-"))
    return commits


def _report_deleted(settings: Settings, ref: Address | None, number: int | None) -> None:
    from deltackpt.cli.render.deletion import recoverable_document, recoverable_lines

    if ref is not None:
        raise InvalidInputError("--deleted shows all that can be brought back, on whatever line; leave out REF")
    with open_store(settings) as store:
        found = store.recoverable()[:number]
    settings.report(lambda: [recoverable_document(r) for r in found], lambda: recoverable_lines(found))
