"""``deltackpt repair``: mend what can be mended, name what cannot."""

from __future__ import annotations

import click

from deltackpt.cli.address import store_folder
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.repair import plan_document, plan_lines
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.errors import CorruptError
from deltackpt.store import Store


@click.command("repair")
@click.option("--execute", is_flag=True, help="Do it, rather than say what would be done.")
@click.option(
    "--from", "sources", multiple=True, metavar="PATH", help="Another store, or a file with tensors, to fetch from."
)
@json_option
@shared_options
@click.pass_context
def command(context: click.Context, execute: bool, sources: tuple[str, ...]) -> None:
    """Say how a damaged store can be mended, and exactly what is lost; with --execute, mend it.

    Damaged files are kept in quarantine, nothing is deleted. Works for a store that does not open, too. Exits with 5
    while anything is damaged or lost.
    """
    settings = context.ensure_object(Settings)
    with Bar(settings, "checking") as bar:
        plan = Store.repair(store_folder(settings), execute=execute, sources=sources, progress=bar.reached)
    settings.report(lambda: plan_document(plan, execute=execute), lambda: plan_lines(plan, execute=execute))
    context.exit(0 if plan.ok and (execute or plan.empty) else CorruptError.exit_code)
