"""What every command is told: which store, whether to show progress, and how to print."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from deltackpt.cli.paths import PATH

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """The options that all commands share, as far as they were given."""

    store: str | None = None
    progress: bool = True
    debug: bool = False
    as_json: bool = False

    def report(self, document: Callable[[], Any], lines: Callable[[], Iterable[str]]) -> None:
        """Print a result: ``document`` with ``--json``, else ``lines``; the other is not made."""
        if self.as_json:
            from deltackpt.cli.as_json import as_json

            click.echo(as_json(document()))
            return
        for line in lines():
            click.echo(line)


def shared_options(function: Function) -> Function:
    """``--store``, ``--no-progress`` and ``--debug``, which stand before or after the command's name."""
    for option in (
        click.option(
            "--debug", is_flag=True, expose_value=False, callback=_remember, help="Trace errors to their place."
        ),
        click.option(
            "--no-progress", is_flag=True, expose_value=False, callback=_remember, help="Show no progress bars."
        ),
        click.option(
            "--store",
            metavar="DIR",
            type=PATH,
            expose_value=False,
            callback=_remember,
            help="The store (else $DELTACKPT_STORE, else the nearest one upwards).",
        ),
    ):
        function = option(function)
    return function


def json_option(function: Function) -> Function:
    """``--json``, for commands that report something."""
    option = click.option("--json", is_flag=True, expose_value=False, callback=_remember, help="Print a JSON document.")
    return option(function)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    settings = context.ensure_object(Settings)
    if not value:
        return
    match parameter.name:
        case "store":
            settings.store = value
        case "no_progress":
            settings.progress = False
        case "debug":
            settings.debug = True
        case "json":
            settings.as_json = True
