"""``deltackpt help``: of the program, of a command, and of what is no command."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from deltackpt.cli.address import starting
from deltackpt.cli.settings import shared_options
from deltackpt.errors import NotFoundError

REFS = """\
A REF names a commit:

  main               the newest commit of a branch
  warmup-done        the commit that a tag stands on
  3fa9c1d2           a commit id, or the beginning of one, four digits or more
  latest             the newest commit of any branch
  step:1000          the commit at that step of the line of main
  min:val_loss       the commit of that line with the least val_loss
  max:accuracy       the commit of that line with the greatest accuracy
  dev@step:1000      the last three on another branch
  main~3             three parents back; goes with all of these
  runs/a#main~3      STORE#REF: in another store
"""


class _Topic(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click alone
    """A command, or ``refs``."""

    name = "TOPIC"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        program = ctx.find_root().command
        assert isinstance(program, click.Group)
        return starting(["refs", *program.list_commands(ctx)], incomplete)


@click.command("help")
@click.argument("topic", required=False, type=_Topic())
@shared_options
@click.pass_context
def command(context: click.Context, topic: str | None) -> None:
    """Explain a command, or refs."""
    click.echo(REFS if topic == "refs" else _help(context.find_root(), topic))


def _help(root: click.Context, topic: str | None) -> str:
    program = root.command
    assert isinstance(program, click.Group)
    if topic is None:
        return program.get_help(root)
    found = program.get_command(root, topic)
    if found is None:
        raise NotFoundError(f"no help on {topic!r}; there is refs, {', '.join(program.list_commands(root))}")
    return found.get_help(click.Context(found, parent=root, info_name=topic))
