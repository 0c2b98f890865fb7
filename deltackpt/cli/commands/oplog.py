"""``deltackpt oplog``: every publish there ever was."""

from __future__ import annotations

from itertools import islice

import click

from deltackpt.cli.address import open_store
from deltackpt.cli.render.deletion import operation_document, operation_lines
from deltackpt.cli.settings import Settings, json_option, shared_options


@click.command("oplog")
@click.option("-n", "--number", type=click.IntRange(min=0), help="Show this many operations at most.")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, number: int | None) -> None:
    """Show operations, newest first: what each changed, when, and who made it (host and process)."""
    with open_store(settings) as store:
        operations = list(islice(store.oplog(), number))
    settings.report(lambda: [operation_document(o) for o in operations], lambda: operation_lines(operations))
