"""``deltackpt parity``: keep beside packs what a few damaged blocks of theirs can be made again from."""

from __future__ import annotations

import click

from deltackpt.cli.address import open_store
from deltackpt.cli.progress import Bar
from deltackpt.cli.quantities import SHARE
from deltackpt.cli.render.upkeep import protection_document, protection_lines
from deltackpt.cli.settings import Settings, json_option, shared_options


@click.command("parity")
@click.option("--share", type=SHARE, default="5%", show_default=True, help="How much, of the size of the packs.")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, share: float) -> None:
    """Write Reed-Solomon parity for packs that have none; `deltackpt repair` restores damaged ones by it.

    Run it after commits, as often as the newest are worth it. Safe beside writers and readers.
    """
    with open_store(settings) as store, Bar(settings, "writing parity") as bar:
        report = store.protect(share, progress=bar.reached)
    settings.report(lambda: protection_document(report), lambda: protection_lines(report))
