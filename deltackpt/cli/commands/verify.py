"""``deltackpt verify``: is everything there, and as it was written?"""

from __future__ import annotations

import click

from deltackpt.cli.address import open_store
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.upkeep import verify_document, verify_lines
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.errors import CorruptError


@click.command("verify")
@click.option("--data", is_flag=True, help="Read, decode and hash every byte, rather than the structure alone.")
@json_option
@shared_options
@click.pass_context
def command(context: click.Context, data: bool) -> None:
    """Check the store and change nothing. Exits with 5 when something is not as it was written."""
    settings = context.ensure_object(Settings)
    with open_store(settings) as store, Bar(settings, "checking", unit="chunks") as bar:
        report = store.verify(data=data, progress=bar.reached)
    settings.report(lambda: verify_document(report, data=data), lambda: verify_lines(report, data=data))
    context.exit(0 if report.ok else CorruptError.exit_code)
