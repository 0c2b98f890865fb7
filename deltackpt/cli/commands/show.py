"""``deltackpt show``: one commit and its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from deltackpt.checkout.files import TypedBytes
from deltackpt.cli.address import DEFAULT_REF, REF, Address, open_store
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.commits import Names, commit_facts, full_document
from deltackpt.cli.render.inventory import inventory_document, inventory_lines, typed_document, typed_lines
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.history.commits import Commit
from deltackpt.maintenance.inventory import InventoryRow


@click.command("show")
@click.argument("ref", default=DEFAULT_REF, type=REF)
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, ref: Address) -> None:
    """Show the commit REF (else the newest): its facts, and its tensors with what they occupy and how.

    Of files and folders it says how many of their bytes are tensors that are known as such.

    How: whole, as a delta against an older version (rank: how many deltas below), or shared with the parent commit.
    """
    with open_store(settings, ref) as store:
        commit, names = store.resolve(ref.ref), Names(store)
        with Bar(settings, "looking at tensors"):
            rows, typed = store.inventory(commit), store.typed_bytes(commit)
        settings.report(
            lambda: full_document(commit, names) | typed_document(typed) | {"tensors": inventory_document(rows)},
            lambda: _lines(commit, names, rows, typed),
        )


def _lines(commit: Commit, names: Names, rows: Sequence[InventoryRow], typed: TypedBytes | None) -> Iterator[str]:
    yield from commit_facts(commit, names)
    yield ""
    yield from inventory_lines(rows, commit.logical_bytes)
    yield from typed_lines(typed)
