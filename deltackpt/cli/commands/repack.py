"""``deltackpt repack``: make what is read most cheap to read."""

from __future__ import annotations

import click

from deltackpt.cli.address import open_store
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.upkeep import repack_document, repack_lines
from deltackpt.cli.settings import Settings, json_option, shared_options


@click.command("repack")
@click.option("--recompress", is_flag=True, help="Encode anew all that gets smaller, not only what is dear to read.")
@click.option("--dry-run", is_flag=True, help="Estimate what it would bring, and change nothing.")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, recompress: bool, dry_run: bool) -> None:
    """Make the newest, best and tagged commits cheap to read. Safe beside writers and readers; runs gc, too."""
    with open_store(settings) as store, Bar(settings, "repacking") as bar:
        report = store.repack(recompress=recompress, dry_run=dry_run, progress=bar.reached)
    settings.report(lambda: repack_document(report, dry_run=dry_run), lambda: repack_lines(report, dry_run=dry_run))
