"""The program: runs a command, and turns whatever ends it into one line and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from deltackpt.cli.program import PipeClosedError, program
from deltackpt.cli.settings import Settings
from deltackpt.cli.text import shown
from deltackpt.errors import DeltackptError, InvalidInputError, StorageError

INTERRUPTED = 130
CLOSED_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; ``docs/cli.md`` has the table of exit codes."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Errors are one line on stderr."""
    settings = Settings()
    if sys.stderr is None:
        # Somebody closed it; what would be said there is lost, and the program goes on.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        return _complain(StorageError("standard output is closed; redirect it to a file, or to /dev/null"))
    try:
        # A name that the terminal cannot show must not end the program.
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        code = _run(arguments, settings)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (PipeClosedError, BrokenPipeError):
        _forget_stdout()
        return CLOSED_PIPE
    except Exception as error:  # noqa: BLE001 - the last place that can turn it into a line and a code
        if settings.debug:
            traceback.print_exc()
        return _complain(error)
    return code


def _run(arguments: Sequence[str] | None, settings: Settings) -> int:
    outcome = program.main(
        args=None if arguments is None else list(arguments),
        prog_name="deltackpt",
        standalone_mode=False,
        obj=settings,
        # See https://no-color.org.
        color=False if os.environ.get("NO_COLOR") else None,
    )
    return outcome if isinstance(outcome, int) else 0


def _complain(error: Exception) -> int:
    text, code = _explained(error)
    with contextlib.suppress(OSError):
        click.echo(f"deltackpt: {shown(text)}", err=True)
    return code


def _explained(error: Exception) -> tuple[str, int]:
    """What to say about ``error``, and the exit code."""
    match error:
        case DeltackptError():
            return str(error), error.exit_code
        case click.UsageError():
            command = error.ctx.command_path if error.ctx is not None else "deltackpt"
            return f"{error.format_message().rstrip('.')}; see `{command} --help`", InvalidInputError.exit_code
        case click.ClickException():
            return error.format_message(), InvalidInputError.exit_code
        case OSError(filename=None, strerror=str() as reason):
            return f"writing what was asked for failed: {reason}; --debug shows where", StorageError.exit_code
        case OSError():
            return str(error), StorageError.exit_code
        case MemoryError():
            return "out of memory; nothing was published", DeltackptError.exit_code
    return f"unexpected {type(error).__name__}: {error}; --debug shows where", DeltackptError.exit_code


def _forget_stdout() -> None:
    """Whoever read our output has gone; the interpreter's own flush on exit must not complain about it."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
