"""``deltackpt import``: take in the checkpoints that a run has left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from deltackpt.cli.address import open_store
from deltackpt.cli.names import BRANCH
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.commits import added, step
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.cli.text import shown, size

if TYPE_CHECKING:
    from deltackpt.adoption.adopt import Adopted
    from deltackpt.adoption.found import FoundCheckpoint


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH|GLOB...")
@click.option("--branch", type=BRANCH, default="main", show_default=True, help="The branch to commit to.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only show what would be committed, in which order, and about how much of it would be stored.",
)
@click.option(
    "--remove-originals", is_flag=True, help="Remove each checkpoint once it is stored and was compared, byte for byte."
)
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, paths: Sequence[str], branch: str, dry_run: bool, remove_originals: bool) -> None:
    """Commit the checkpoints, files or folders, that PATH or GLOB name, the oldest first, and compare each.

    Steps, epochs and metrics are found in names and in trainer_state.json. An import that was interrupted goes on where
    it stopped.
    """
    from deltackpt.adoption.found import find_checkpoints

    found = find_checkpoints(paths)
    if dry_run:
        from deltackpt.adoption.estimate import estimate

        told = estimate(found)
        settings.report(
            lambda: {
                "checkpoints": [_plan(one) for one in found],
                "bytes": told.plain_bytes,
                "added": told.stored_bytes,
            },
            lambda: [
                *map(_planned, found),
                f"{len(found)} checkpoints, {size(told.plain_bytes)}, in about {size(told.stored_bytes)}",
            ],
        )
        return
    with open_store(settings) as store, Bar(settings, "importing", len(found), "checkpoints") as bar:
        adopted = []
        for one in store.adopt(found, branch=branch, remove_originals=remove_originals):
            adopted.append(one)
            bar.reached(len(adopted), len(found))
    settings.report(lambda: [_document(one) for one in adopted], lambda: _lines(adopted))


def _plan(one: FoundCheckpoint) -> dict[str, object]:
    return {"path": one.path, "step": one.step, "metrics": dict(one.metrics)}


def _document(one: Adopted) -> dict[str, object]:
    told = {"commit": str(one.commit.id), "known": one.known, "removed": one.removed}
    return {**_plan(one.found), **told, "bytes": one.commit.logical_bytes, "added": one.commit.stored_bytes}


def _planned(one: FoundCheckpoint) -> str:
    metrics = "".join(f"  {shown(name)} {value:.4g}" for name, value in one.metrics.items())
    return f"{'no step' if one.step is None else f'step {one.step}'}  {shown(one.path)}{metrics}"


def _lines(adopted: Sequence[Adopted]) -> Iterator[str]:
    for one in adopted:
        how = "known" if one.known else f"{size(one.commit.logical_bytes)}, {added(one.commit)}"
        gone = ", removed" if one.removed else ""
        yield f"[{one.commit.id.short}] {step(one.commit)}, {shown(one.found.path)}, {how}, equal{gone}"
    plain, stored = (sum(getattr(one.commit, name) for one in adopted) for name in ("logical_bytes", "stored_bytes"))
    yield f"{len(adopted)} checkpoints, {size(plain)}, in {size(stored)}"
