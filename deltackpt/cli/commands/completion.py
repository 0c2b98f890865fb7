"""``deltackpt completion``: the script that teaches a shell our commands, options and refs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from deltackpt.cli.settings import shared_options


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared_options
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL: eval "$(deltackpt completion bash)"."""
    found = get_completion_class(shell)
    assert found is not None
    program = context.find_root().command
    click.echo(found(program, {}, "deltackpt", "_DELTACKPT_COMPLETE").source())
