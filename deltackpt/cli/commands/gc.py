"""``deltackpt gc``: free what nothing reaches."""

from __future__ import annotations

import click

from deltackpt.cli.address import open_store
from deltackpt.cli.progress import Bar
from deltackpt.cli.quantities import SHARE, SIZE
from deltackpt.cli.render.upkeep import gc_document, gc_lines
from deltackpt.cli.settings import Settings, json_option, shared_options


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Say what would be freed, and change nothing.")
@click.option(
    "--min-dead", type=SHARE, default=0.10, metavar="PERCENT", help="Rewrite packs with that much garbage: 10%."
)
@click.option("--max-repack-bytes", type=SIZE, metavar="SIZE", help="Write no more than that; the next gc goes on.")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, dry_run: bool, min_dead: float, max_repack_bytes: int | None) -> None:
    """Free what no branch or tag reaches. Safe beside writers and readers."""
    with open_store(settings) as store, Bar(settings, "collecting garbage") as bar:
        plan = store.gc(dry_run=dry_run, min_dead=min_dead, max_repack_bytes=max_repack_bytes, progress=bar.reached)
    settings.report(lambda: gc_document(plan, dry_run=dry_run), lambda: gc_lines(plan, dry_run=dry_run))
