"""``deltackpt stats``: the savings report."""

from __future__ import annotations

import click

from deltackpt.cli.address import open_store
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.stats import stats_document, stats_lines
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.store import Store


@click.command("stats")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings) -> None:
    """Show what was committed, what is stored, and where the difference went: dedup, deltas, planes."""
    with open_store(settings) as store, _bar(settings, store) as bar:
        stats = store.stats(progress=bar.advance)
    settings.report(lambda: stats_document(stats), lambda: stats_lines(stats))


def _bar(settings: Settings, store: Store) -> Bar:
    return Bar(settings, "adding up", sum(commit.logical_bytes for commit in store.log()))
