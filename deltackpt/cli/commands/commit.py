"""``deltackpt commit``: store a checkpoint file or folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import click

from deltackpt.cli.address import REF, Address, open_store
from deltackpt.cli.metrics import metrics_of
from deltackpt.cli.names import BRANCH
from deltackpt.cli.paths import PATH
from deltackpt.cli.progress import Bar
from deltackpt.cli.render.commits import added, commit_document, illness, step
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.cli.text import shown, size
from deltackpt.errors import FormatError, InvalidInputError, NotFoundError
from deltackpt.history.commits import Commit

_MAX_JSON_BYTES = 16 << 20


@click.command("commit")
@click.argument("path", type=PATH, metavar="PATH")
@click.option("--step", type=int, help="The training step.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME=VALUE", help="A metric; may be given several times.")
@click.option("-m", "--message", default="", help="A note on this commit.")
@click.option(
    "--branch", type=BRANCH, default="main", show_default=True, help="The branch to commit to; made when missing."
)
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="A tag to put on it; may be given several times.")
@click.option("--parent", type=REF, help="The commit to continue from, rather than the branch's newest.")
@click.option("--base", type=REF, help="The commit whose tensors those are like that the parent lacks.")
@click.option("--config", type=PATH, metavar="FILE.json", help="The run's configuration, kept beside.")
@click.option("--meta", type=PATH, metavar="FILE.json", help="Anything else to keep beside.")
@click.option(
    "--on-conflict",
    type=click.Choice(["fail", "rebase"]),
    default="fail",
    show_default=True,
    help="What to do when another writer commits to the branch first.",
)
@click.option("--strict", is_flag=True, help="Refuse files that are damaged, rather than keep them as plain bytes.")
@json_option
@shared_options
@click.pass_obj
def command(
    settings: Settings,
    /,
    path: str,
    metrics: Sequence[str],
    tags: Sequence[str],
    parent: Address | None,
    base: Address | None,
    config: str | None,
    meta: str | None,
    **described: Any,
) -> None:
    """Store the checkpoint PATH, a file or a folder of any tool, without loading it into memory.

    Checking the commit out gives the same again, byte for byte. Tensors are found in files of safetensors, PyTorch,
    NumPy, GGUF, ONNX, TensorFlow and zarr, alone and in folders; everything else is kept as it is.
    """
    described |= {"metrics": metrics_of(metrics), "tags": tags}
    described |= {"config": config and _json_file(config), "meta": meta and _json_file(meta)}
    size = os.path.getsize(path) if os.path.isfile(path) else None
    with open_store(settings, parent, base) as store, Bar(settings, "committing", size) as bar:
        described |= {"parent": parent and parent.ref, "base": base and base.ref}
        commit = store.commit_path(path, progress=bar.advance, **described)
    settings.report(lambda: commit_document(commit), lambda: _lines(commit))


def _lines(commit: Commit) -> Iterator[str]:
    yield f"[{shown(commit.branch)} {commit.id.short}] {step(commit)}, {size(commit.logical_bytes)}, {added(commit)}"
    if not commit.healthy:
        yield illness(commit)


def _json_file(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_JSON_BYTES + 1)
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path!r} cannot be read: {error}; check the path") from None
    if len(text) > _MAX_JSON_BYTES:
        raise FormatError(f"{path!r}: more than {_MAX_JSON_BYTES} bytes to keep beside; keep it elsewhere")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path!r} is not JSON: {error}; give a JSON file") from None
