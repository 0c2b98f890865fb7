"""The table of commands. A command's module is imported when it is used, so that ``log`` pays for ``log`` alone."""

from __future__ import annotations

import importlib
import keyword
from typing import Any

import click

from deltackpt.cli.settings import shared_options
from deltackpt.errors import InvalidInputError

COMMANDS = (
    "init",
    "commit",
    "import",
    "log",
    "show",
    "diff",
    "checkout",
    "convert",
    "branch",
    "tag",
    "annotate",
    "average",
    "stats",
    "prune",
    "delete",
    "undelete",
    "oplog",
    "undo",
    "gc",
    "repack",
    "verify",
    "repair",
    "parity",
    "doctor",
    "demo",
    "completion",
    "help",
)


class PipeClosedError(Exception):
    """Whoever read our output has gone. Not an OSError, for which click has an exit code of its own."""


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise PipeClosedError from None

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = f"{name}_" if keyword.iskeyword(name) else name
        command = importlib.import_module(f"deltackpt.cli.commands.{module}").command
        assert isinstance(command, click.Command)
        return command


def _print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from deltackpt import __version__

        click.echo(f"deltackpt {__version__}")
        context.exit()


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Say which.")
@shared_options
@click.pass_context
def program(context: click.Context) -> None:
    """A store for training checkpoints that works like git.

    Wherever a command takes REF: a branch, a tag, a commit id or the beginning of one, latest, step:1000,
    min:val_loss, max:accuracy, dev@step:1000, any of these with ~3 for the third parent, and STORE#REF.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(InvalidInputError.exit_code)
