"""``deltackpt prune``: keep some commits of a run."""

from __future__ import annotations

import click

from deltackpt.cli.address import open_store
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.deletion import prune_document, prune_lines
from deltackpt.cli.settings import Settings, json_option, shared_options


@click.command("prune")
@click.option("--keep-last", "last", type=click.IntRange(min=1), metavar="N", help="The newest N healthy commits.")
@click.option("--keep-every", "every", type=click.IntRange(min=1), metavar="N", help="Steps that are multiples of N.")
@click.option("--keep-within", "within", metavar="TIME", help="Younger than TIME: 90m, 12h, 7d, 2w.")
@click.option("--keep-best", "best", multiple=True, metavar="min:METRIC", help="The best by a metric, or max:METRIC.")
@click.option("--keep-milestone", "milestones", multiple=True, type=int, metavar="STEP", help="This step.")
@click.option(
    "--drop-optimizer-older-than",
    "optimizer",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the newest N commits keep optimizer parts.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go and why the rest stays, and change nothing.")
@json_option
@shared_options
@click.pass_obj
def command(
    settings: Settings,
    last: int | None,
    every: int | None,
    within: str | None,
    best: tuple[str, ...],
    milestones: tuple[int, ...],
    optimizer: int | None,
    dry_run: bool,
) -> None:
    """Delete the commits of every branch that no option keeps; heads of branches and tagged commits always stay.

    Nothing is freed before gc, and undelete and undo work until then.
    """
    from deltackpt.maintenance.keep import Keep

    keep = Keep(last=last, every=every, within=within, best=best, milestones=milestones, optimizer=optimizer)
    with open_store(settings) as store, Bar(settings, "planning"):
        plan = store.prune(keep, dry_run=dry_run)
    settings.report(lambda: prune_document(plan, dry_run=dry_run), lambda: prune_lines(plan, dry_run=dry_run))
