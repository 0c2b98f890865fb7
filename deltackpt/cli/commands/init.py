"""``deltackpt init``: make a store."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from deltackpt.cli.discover import HIDDEN, VARIABLE
from deltackpt.cli.paths import PATH
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.cli.text import shown
from deltackpt.store import Store


@click.command("init")
@click.argument("folder", required=False, type=PATH, metavar="[DIR]")
@click.option("--reserve", metavar="SIZE", help="Room kept for deleting on a full disk: 64MiB; 0 for none.")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, folder: str | None, reserve: str | None) -> None:
    """Make a store in DIR (else --store, else $DELTACKPT_STORE, else ./.deltackpt)."""
    chosen = folder or settings.store or os.environ.get(VARIABLE) or HIDDEN
    with Store.init(chosen, reserve=reserve) as store:
        settings.report(lambda: {"store": store.path, "index": store.index_path}, lambda: _lines(store))


def _lines(store: Store) -> Iterator[str]:
    yield f"made a store in {shown(store.path)}"
    if not store.index_path.startswith(store.path + os.sep):
        yield f"its folder is on a network share, so the index lives on this machine, in {shown(store.index_path)}"
