"""``deltackpt undelete``: bring back what was deleted or thinned."""

from __future__ import annotations

import click

from deltackpt.cli.address import Address, open_store
from deltackpt.cli.render.commits import Names, commit_document
from deltackpt.cli.settings import Settings, json_option, shared_options


@click.command("undelete")
@click.argument("commit")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, commit: str) -> None:
    """Bring back COMMIT, an id or the beginning of one, whole. Comes too late after gc."""
    address = Address.parse(commit)
    with open_store(settings, address) as store:
        back = store.undelete(address.ref)
        names = Names(store)
    settings.report(lambda: commit_document(back, names), lambda: [f"brought back {back.description}"])
