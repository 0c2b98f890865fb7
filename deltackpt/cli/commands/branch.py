"""``deltackpt branch``: list, begin, move and delete branches."""

from __future__ import annotations

import click

from deltackpt.cli.address import REF, Address, open_store
from deltackpt.cli.names import BRANCH
from deltackpt.cli.render.commits import ref_document, ref_lines
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.cli.text import shown
from deltackpt.history.resolve import DEFAULT_BRANCH


@click.command("branch")
@click.argument("name", required=False, type=BRANCH)
@click.argument("ref", default=DEFAULT_BRANCH, type=REF)
@click.option("-d", "--delete", is_flag=True, help="Delete branch NAME, or STORE#NAME; its commits stay until gc.")
@click.option("--force", is_flag=True, help="Move NAME when it exists.")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, name: str | None, ref: Address, delete: bool, force: bool) -> None:
    """List branches; or begin branch NAME at REF (else at main)."""
    if name is None and (delete or force):
        raise click.UsageError("-d and --force need the NAME of a branch")
    doomed = Address.parse(name) if name is not None and delete else None
    with open_store(settings, doomed or ref) as store:
        if name is None:
            branches = store.branches()
            settings.report(lambda: ref_document(branches), lambda: ref_lines(branches))
        elif doomed is not None:
            store.delete_branch(doomed.ref)
            settings.report(lambda: {"deleted": doomed.ref}, lambda: [f"deleted branch {shown(doomed.ref)}"])
        else:
            store.branch(name, ref.ref, force=force)
            branch = {name: store.resolve(name)}
            settings.report(lambda: ref_document(branch), lambda: ref_lines(branch))
