"""``deltackpt average``: one model out of several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click

from deltackpt.cli.address import REF, Address, open_store
from deltackpt.cli.names import PART
from deltackpt.cli.render.commits import added, commit_document
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.cli.text import shown, size
from deltackpt.errors import InvalidInputError

_FILES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npy", ".npz", ".gguf", ".onnx")


@click.command("average")
@click.argument("refs", nargs=-1, required=True, type=REF, metavar="REF...")
@click.option(
    "-o", "--output", required=True, metavar="BRANCH|FILE", help="Where to put it: a branch, or a file (./x, x.pt)."
)
@click.option("--weight", "weights", multiple=True, type=float, metavar="W", help="How much each REF counts, in order.")
@click.option("--ema", "decay", type=float, metavar="DECAY", help="An exponential moving average, in order.")
@click.option("--part", type=PART, help="The part to average, where there are several models.")
@click.option("--step", type=int, help="The step of the new commit, else the last REF's.")
@click.option("-m", "--message", default="", help="A note on the new commit.")
@click.option("--force", is_flag=True, help="Replace FILE when it exists.")
@json_option
@shared_options
@click.pass_obj
def command(
    settings: Settings,
    refs: Sequence[Address],
    output: str,
    weights: Sequence[float],
    decay: float | None,
    part: str | None,
    step: int | None,
    message: str,
    force: bool,
) -> None:
    """Average the models of several commits; OLD..NEW stands for all from OLD to NEW.

    Floats are averaged tensor by tensor, all else is as in the last REF. Names, types and shapes must be the same.
    """
    chosen: dict[str, Any] = {"weights": list(weights) or None, "decay": decay, "part": part}
    names = [address.ref for address in refs]
    with open_store(settings, *refs) as store:
        if not _is_file(output):
            commit = store.average(names, output, step=step, message=message, **chosen)
            line = (
                f"[{shown(output)} {commit.id.short}] {size(commit.logical_bytes)}, {added(commit)}: {commit.message}"
            )
            settings.report(lambda: commit_document(commit), lambda: [line])
            return
        if step is not None or message:
            raise InvalidInputError("--step and --message describe a commit; leave them out for a file")
        written = store.average_to_file(names, output, force=force, **chosen)
    settings.report(lambda: {"file": output, "bytes": written}, lambda: [f"wrote {shown(output)}, {size(written)}"])


def _is_file(output: str) -> bool:
    """Names of branches may hold dots and slashes, too; what looks like a path or a checkpoint file is a file."""
    return output.startswith((".", os.sep, "~")) or output.lower().endswith(_FILES)
