"""``deltackpt doctor``: how is the store, and what stands around it?"""

from __future__ import annotations

import click

from deltackpt.cli.address import store_folder
from deltackpt.cli.render.doctor import checkup_document, checkup_lines
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.errors import DeltackptError
from deltackpt.store import Store


@click.command("doctor")
@json_option
@shared_options
@click.pass_context
def command(context: click.Context) -> None:
    """Show versions, the disk, room, sizes and the index, and for each problem what to do. Changes nothing.

    Works for a store that does not open, too. Exits with 1 when there are problems.
    """
    settings = context.ensure_object(Settings)
    found = Store.doctor(store_folder(settings))
    settings.report(lambda: checkup_document(found), lambda: checkup_lines(found))
    context.exit(0 if found.ok else DeltackptError.exit_code)
