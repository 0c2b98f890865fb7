"""``deltackpt annotate``: metrics found later."""

from __future__ import annotations

from collections.abc import Sequence

import click

from deltackpt.cli.address import REF, Address, open_store
from deltackpt.cli.metrics import metrics_of
from deltackpt.cli.render.commits import commit_document, metrics
from deltackpt.cli.settings import Settings, json_option, shared_options


@click.command("annotate")
@click.argument("ref", type=REF)
@click.option(
    "--metric",
    "found",
    multiple=True,
    required=True,
    metavar="NAME=VALUE",
    help="A metric; may be given several times.",
)
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, ref: Address, found: Sequence[str]) -> None:
    """Add metrics to the commit REF that were found after it was made; undo takes them back."""
    with open_store(settings, ref) as store:
        commit = store.annotate(ref.ref, metrics_of(found))
    settings.report(
        lambda: commit_document(commit), lambda: [f"commit {commit.description}: {metrics(commit.metrics)}"]
    )
