"""``deltackpt checkout``: a commit back into a file."""

from __future__ import annotations

from typing import Literal

import click

from deltackpt.cli.address import REF, Address, open_store
from deltackpt.cli.names import PART
from deltackpt.cli.progress import Bar
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.cli.text import shown, size


@click.command("checkout")
@click.argument("ref", type=REF)
@click.option("-o", "--output", required=True, type=click.Path(), metavar="FILE", help="The file to write.")
@click.option("--part", type=PART, help="Only this part, under the module's own names: ready for load_state_dict.")
@click.option(
    "--names",
    type=click.Choice(["module", "stored"]),
    default="module",
    show_default=True,
    help="Whether wrappers' prefixes go from the names of a part.",
)
@click.option("--force", is_flag=True, help="Replace FILE when it exists.")
@json_option
@shared_options
@click.pass_obj
def command(
    settings: Settings, ref: Address, output: str, part: str | None, names: Literal["module", "stored"], force: bool
) -> None:
    """Write the commit REF to a file.

    A commit that was made from a file gives that file, byte for byte; a training state becomes safetensors. The file
    appears complete or not at all.
    """
    with open_store(settings, ref) as store:
        commit = store.resolve(ref.ref)
        plain = commit.logical_bytes if part is None else commit.part_named(part).nbytes
        with Bar(settings, "writing", plain) as bar:
            written = store.checkout(commit, output, part=part, names=names, force=force, progress=bar.advance)
    settings.report(
        lambda: {"file": output, "bytes": written, "commit": str(commit.id), "step": commit.step, "part": part},
        lambda: [f"wrote {shown(output)}, {size(written)}, from {commit.description}"],
    )
