"""The options that say how tensors are converted; ``checkout`` and ``convert`` share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deltackpt.convert.formats import FORMATS, format_of
from deltackpt.formats.suffixes import told_by

if TYPE_CHECKING:
    from deltackpt.convert.convert import Conversion

Function = TypeVar("Function", bound=Callable[..., Any])


def conversion_options(function: Function) -> Function:
    """``--format``, ``--select``, ``--rename``, ``--dtype``, ``--max-shard-size`` and ``--lossy``."""
    for option in (
        click.option("--lossy", is_flag=True, help="Leave out, with a warning, what cannot be converted."),
        click.option("--max-shard-size", metavar="SIZE", help="Write a folder of files no larger than this: 5GB."),
        click.option("--dtype", type=click.Choice(["bf16", "fp16", "fp32"]), help="Round floats to this type."),
        click.option(
            "--rename", multiple=True, metavar="REGEX=>REPL", help="Rename tensors; may be given several times."
        ),
        click.option("--select", metavar="GLOB", help="Only tensors with such names."),
        click.option("--format", type=click.Choice(FORMATS), help="Convert to this format."),
    ):
        function = option(function)
    return function


def conversion_of(
    output: str,
    format: str | None,
    select: str | None,
    rename: Sequence[str],
    dtype: Any,
    max_shard_size: str | None,
    lossy: bool,
) -> Conversion:
    """What the options ask for; without ``format`` it is told by the name of ``output``, or by a wish for shards."""
    # Imported here because commands that convert nothing do without it.
    from deltackpt.convert.changes import Changes, Renaming
    from deltackpt.convert.convert import Conversion
    from deltackpt.maintenance.quantity import parse_size

    shard_bytes = None if max_shard_size is None else parse_size(max_shard_size)
    if format is None:
        # A folder of shards needs no suffix.
        format = format_of(output) if shard_bytes is None else told_by(output) or "safetensors"
    return Conversion(format, Changes(select, tuple(map(Renaming.of, rename)), dtype), shard_bytes, lossy)
