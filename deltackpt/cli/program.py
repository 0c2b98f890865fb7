"""The table of commands. A command's module is imported when it is used, so that ``log`` pays for ``log`` alone."""

from __future__ import annotations

import importlib
import keyword
from typing import Any

import click
from click.shell_completion import CompletionItem

from deltackpt.cli.settings import shared_options
from deltackpt.errors import InvalidInputError

COMMANDS = {
    "init": "Make a store.",
    "commit": "Store a checkpoint file or folder.",
    "import": "Store the checkpoints that a run has left behind.",
    "log": "Show the history as a graph.",
    "show": "Show one commit and its tensors.",
    "diff": "Compare two commits.",
    "checkout": "Write a commit back to a file or folder.",
    "convert": "Write a checkpoint in another format, without a store.",
    "branch": "List, begin, move and delete branches.",
    "tag": "List, set, move and delete tags.",
    "annotate": "Add metrics that were found after a commit was made.",
    "average": "Make one model out of several.",
    "stats": "Show what was saved, and where.",
    "prune": "Delete the commits that a policy does not keep.",
    "delete": "Delete one commit.",
    "undelete": "Bring a deleted commit back.",
    "oplog": "List what was done to the store.",
    "undo": "Take back what was done.",
    "gc": "Free what no branch or tag reaches.",
    "repack": "Make the commits that are read most cheap to read.",
    "verify": "Check the store, or a file against its commit.",
    "repair": "Mend a damaged store, and say what is lost.",
    "parity": "Write what damaged blocks can be made again from.",
    "doctor": "Look around, and say what to do about each problem.",
    "demo": "Train a small model, and prove that old steps come back.",
    "completion": "Print the completion script of a shell.",
    "help": "Explain a command, or refs.",
}
"""Every command, with what it does in a line: a list of them imports none."""

_ELSEWHERE = {
    "add": "commit",
    "backup": "commit",
    "cat": "show",
    "check": "verify",
    "export": "checkout",
    "forget": "prune",
    "fsck": "verify",
    "list": "log",
    "ls": "log",
    "reflog": "oplog",
    "remove": "delete",
    "reset": "undo",
    "restore": "checkout",
    "revert": "undo",
    "rm": "delete",
    "save": "commit",
    "snapshots": "log",
    "status": "stats",
}
"""What git, restic and others call it."""


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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        commands = [CompletionItem(name, help=does) for name, does in COMMANDS.items() if name.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and args[0] not in COMMANDS and (meant := _meant(args[0])):
            raise InvalidInputError(f"no command {args[0]!r}; did you mean {' or '.join(map(repr, meant))}?")
        return super().resolve_command(ctx, args)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = f"{name}_" if keyword.iskeyword(name) else name
        command = importlib.import_module(f"deltackpt.cli.commands.{module}").command
        assert isinstance(command, click.Command)
        return command


def _meant(name: str) -> list[str]:
    """Commands that somebody may mean who writes ``name``."""
    # 10 ms to import, for those who err.
    from difflib import get_close_matches

    found = [_ELSEWHERE[name]] if name in _ELSEWHERE else []
    return found or get_close_matches(name, COMMANDS, n=2, cutoff=0.6)


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
