"""``deltackpt tag``: list, set, move and delete tags."""

from __future__ import annotations

import click

from deltackpt.cli.address import REF, Address, open_store
from deltackpt.cli.names import TAG
from deltackpt.cli.render.commits import ref_document, ref_lines
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.cli.text import shown
from deltackpt.history.resolve import DEFAULT_BRANCH


@click.command("tag")
@click.argument("name", required=False, type=TAG)
@click.argument("ref", default=DEFAULT_BRANCH, type=REF)
@click.option("-d", "--delete", is_flag=True, help="Delete tag NAME, or STORE#NAME; its commit stays until gc.")
@click.option("--force", is_flag=True, help="Move NAME when it exists.")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, name: str | None, ref: Address, delete: bool, force: bool) -> None:
    """List tags; or put tag NAME on REF (else on main)."""
    if name is None and (delete or force):
        raise click.UsageError("-d and --force need the NAME of a tag")
    doomed = Address.parse(name) if name is not None and delete else None
    with open_store(settings, doomed or ref) as store:
        if name is None:
            tags = store.tags()
            settings.report(lambda: ref_document(tags), lambda: ref_lines(tags))
        elif doomed is not None:
            store.delete_tag(doomed.ref)
            settings.report(lambda: {"deleted": doomed.ref}, lambda: [f"deleted tag {shown(doomed.ref)}"])
        else:
            store.tag(name, ref.ref, force=force)
            tag = {name: store.resolve(name)}
            settings.report(lambda: ref_document(tag), lambda: ref_lines(tag))
