"""``deltackpt import``: take in the checkpoints that a run has left behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import click

from deltackpt.cli.address import open_store
from deltackpt.cli.names import BRANCH
from deltackpt.cli.paths import PATH
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.commits import added, metrics, step
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.cli.text import counted, shown, size, times
from deltackpt.errors import NotFoundError
from deltackpt.formats.wording import listed

if TYPE_CHECKING:
    from deltackpt.adoption.adopt import Adopted
    from deltackpt.adoption.found import Findings, FoundCheckpoint
    from deltackpt.adoption.leftovers import Settled
    from deltackpt.store import Store

_METRICS_IN_A_LINE = 4
_LEFT_IN_A_LINE = 8
_NOTHING = "nothing is left to import"


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="PATH|GLOB...")
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
    """Commit the checkpoints that PATH or GLOB name or hold, the oldest first, and compare each.

    PATH may be a checkpoint, a file or a folder, or the folder of a run that holds some. Steps, epochs and metrics are
    found in names and in trainer_state.json. What is no checkpoint is left as it is. An import that was interrupted
    goes on where it stopped.
    """
    from deltackpt.adoption.found import find_checkpoints

    if dry_run:
        _report_plan(settings, find_checkpoints(paths, gone=_imported(settings, branch)))
        return
    with open_store(settings) as store:
        settled = store.settle_removals(branch)
        found = find_checkpoints(paths, gone=store.imported(branch))
        adopted = _adopted(settings, store, found, branch, remove_originals)
    settings.report(
        lambda: {
            "checkpoints": [_document(one) for one in adopted],
            "left": found.left,
            "settled": [{"path": one.path, "outcome": one.outcome.name.lower()} for one in settled],
        },
        lambda: [*map(_settled, settled), *map(_line, adopted), *_left(found.left), _total(adopted)],
    )


def _adopted(settings: Settings, store: Store, found: Findings, branch: str, remove: bool) -> list[Adopted]:
    """Import what was found. When that is interrupted, what is done is told."""
    checkpoints, adopted = found.checkpoints, []
    ends = list(accumulate(one.place.nbytes for one in checkpoints))
    try:
        with Bar(settings, "importing", ends[-1] if ends else 0) as bar:
            progress = bar.advance
            for one in store.adopt(checkpoints, branch=branch, remove_originals=remove, progress=progress):
                adopted.append(one)
                bar.reached(ends[len(adopted) - 1], ends[-1])
    except BaseException:
        if adopted and not settings.as_json:
            for one in adopted:
                click.echo(_line(one))
            click.echo(
                f"{len(adopted)} of {counted(len(checkpoints), 'checkpoint')}; the same command goes on from here"
            )
        raise
    return adopted


def _imported(settings: Settings, branch: str) -> Iterable[str]:
    """Where checkpoints of the branch came from; a plan needs no store."""
    try:
        with open_store(settings) as store:
            return store.imported(branch)
    except NotFoundError:
        return ()


def _report_plan(settings: Settings, found: Findings) -> None:
    from deltackpt.adoption.estimate import estimate

    told = estimate(found.checkpoints)
    settings.report(
        lambda: {
            "checkpoints": [_plan(one) for one in found.checkpoints],
            "left": found.left,
            "bytes": told.plain_bytes,
            "added": told.stored_bytes,
        },
        lambda: [
            *map(_planned, found.checkpoints),
            *_left(found.left),
            f"{counted(len(found.checkpoints), 'checkpoint')}, {size(told.plain_bytes)},"
            f" in about {size(told.stored_bytes)}"
            if found.checkpoints
            else _NOTHING,
        ],
    )


def _plan(one: FoundCheckpoint) -> dict[str, Any]:
    return {
        "path": one.path,
        "files": [f"{one.place.folder}/{name}" for name in one.place.members],
        "step": one.step,
        "metrics": dict(one.metrics),
    }


def _document(one: Adopted) -> dict[str, Any]:
    told = {"commit": str(one.commit.id), "known": one.known, "compared": one.compared, "removed": one.removed}
    return {**_plan(one.found), **told, "bytes": one.commit.logical_bytes, "added": one.commit.stored_bytes}


def _planned(one: FoundCheckpoint) -> str:
    told = f"{'no step' if one.step is None else f'step {one.step}'}  {_named(one)}"
    return f"{told}  {metrics(one.metrics, _METRICS_IN_A_LINE)}".rstrip()


def _named(one: FoundCheckpoint) -> str:
    """The path of a checkpoint, and of how many files it is when the path is not all of it."""
    count = f" ({counted(len(one.place.members), 'file')})" if one.place.is_file_set else ""
    return f"{shown(one.path)}{count}"


def _settled(one: Settled) -> str:
    from deltackpt.adoption.leftovers import Outcome

    told = {
        Outcome.REMOVED: "left by an interrupted import, is stored and was removed",
        Outcome.PUT_BACK: "left by an interrupted import, went back to its place",
        Outcome.IN_THE_WAY: "left by an interrupted import, stays: something else stands in its place",
    }
    return f"{shown(one.path)}: {told[one.outcome]}"


def _line(one: Adopted) -> str:
    how = "known" if one.known else f"{size(one.commit.logical_bytes)}, {added(one.commit)}"
    gone = ", removed" if one.removed else ""
    equal = ", equal" if one.compared else ""
    return f"[{one.commit.id.short}] {step(one.commit)}, {_named(one.found)}, {how}{equal}{gone}"


def _left(paths: Sequence[str]) -> Iterator[str]:
    if paths:
        yield f"left as they are: {listed(list(map(shown, paths)), _LEFT_IN_A_LINE)}"


def _total(adopted: Iterable[Adopted]) -> str:
    commits = [one.commit for one in adopted]
    plain, stored = (sum(getattr(commit, name) for commit in commits) for name in ("logical_bytes", "stored_bytes"))
    if not commits:
        return _NOTHING
    saving = f" ({times(plain / stored)} smaller)" if plain > stored > 0 else ""
    return f"{counted(len(commits), 'checkpoint')}, {size(plain)}, in {size(stored)}{saving}"
