"""``deltackpt delete``: delete one commit."""

from __future__ import annotations

import click

from deltackpt.cli.address import REF, Address, open_store
from deltackpt.cli.settings import Settings, json_option, shared_options


@click.command("delete")
@click.argument("ref", type=REF)
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, ref: Address) -> None:
    """Delete the commit REF, which no branch or tag may point to. It comes back with undelete until gc."""
    with open_store(settings, ref) as store:
        commit = store.delete(ref.ref)
    settings.report(
        lambda: {"deleted": str(commit.id)},
        lambda: [f"deleted {commit.description}; `deltackpt undelete {commit.id.short}` brings it back until gc"],
    )
