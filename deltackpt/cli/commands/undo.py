"""``deltackpt undo``: take back an operation."""

from __future__ import annotations

import click

from deltackpt.cli.address import open_store
from deltackpt.cli.render.deletion import operation_document, operation_lines
from deltackpt.cli.settings import Settings, json_option, shared_options


@click.command("undo")
@click.argument("number", type=int, required=False)
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, number: int | None) -> None:
    """Take back operation NUMBER of the oplog, else the newest that was not taken back yet. Comes too late after gc."""
    with open_store(settings) as store:
        operation = store.undo(number)
    settings.report(lambda: operation_document(operation), lambda: ["undone:", *operation_lines([operation])])
