"""``deltackpt convert``: a checkpoint in another format, without a store."""

from __future__ import annotations

from typing import Any

import click

from deltackpt.cli.conversion import conversion_of, conversion_options
from deltackpt.cli.paths import PATH
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.cli.text import shown, size


@click.command("convert")
@click.argument("source", type=PATH, metavar="IN")
@click.argument("output", type=PATH, metavar="OUT")
@click.option("--part", metavar="PART", help="Only this part of a folder or state, under names without it: model.")
@conversion_options
@click.option("--force", is_flag=True, help="Replace OUT when it exists.")
@json_option
@shared_options
@click.pass_obj
def command(settings: Settings, /, source: str, output: str, part: str | None, force: bool, **options: Any) -> None:
    """Write the tensors of the checkpoint IN, a file or folder of any tool, to OUT.

    The name of OUT tells the format (.safetensors, .pt, .gguf, .onnx, .zarr, .npz) unless --format does. Nothing in
    IN is ever executed, and one tensor is in memory at a time.
    """
    from deltackpt.convert.convert import convert_path

    conversion = conversion_of(output, **options)
    written = convert_path(source, output, conversion, part=part, force=force)
    settings.report(
        lambda: {"file": output, "bytes": written, "format": conversion.format, "part": part},
        lambda: [f"wrote {shown(output)}, {size(written)}, as {conversion.format}"],
    )
