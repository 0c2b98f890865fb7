"""``deltackpt diff``: what changed between two commits."""

from __future__ import annotations

import click

from deltackpt.cli.address import REF, Address, open_stores
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.diff import diff_document, diff_lines
from deltackpt.cli.settings import Settings, json_option, shared_options


@click.command("diff")
@click.argument("old", type=REF)
@click.argument("new", type=REF)
@click.option("-n", "--number", type=click.IntRange(min=0), help="Show this many changed tensors at most.")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, old: Address, new: Address, number: int | None) -> None:
    """Show what changed from commit OLD to commit NEW, which may lie in another store.

    Tensors added, removed and changed, largest change first, with the share of values that changed, the L2 norm
    and the largest magnitude of the difference; metrics, configuration and other values that differ.
    """
    with open_stores(settings, old, new) as (store, other):
        before, after = store.resolve(old.ref), other.resolve(new.ref)
        with Bar(settings, "comparing", store.diff_bytes(before, after, other=other)) as bar:
            diff = store.diff(before, after, other=other, progress=bar.advance)
        settings.report(lambda: diff_document(diff), lambda: diff_lines(diff, number))
