"""``deltackpt verify``: is everything there, and as it was written?"""

from __future__ import annotations

import os

import click

from deltackpt.cli.address import DEFAULT_REF, REF, Address, open_store
from deltackpt.cli.progress import Bar
from deltackpt.cli.quantities import SHARE
from deltackpt.cli.render.verify import (
    completeness_document,
    completeness_lines,
    file_document,
    file_lines,
    report_document,
    report_lines,
)
from deltackpt.cli.settings import Settings, json_option, shared_options
from deltackpt.errors import CorruptError, InvalidInputError


@click.command("verify")
@click.argument("file", required=False)
@click.argument("ref", required=False, type=REF)
@click.option("--data", is_flag=True, help="Read, decode and hash every byte, rather than the structure alone.")
@click.option("--sample", type=SHARE, metavar="5%", help="So much of that, what was checked longest ago first.")
@click.option(
    "--requires", metavar="NAME,...", help="Check that the commit REF has these: verify --requires NAMES [REF]."
)
@json_option
@shared_options
@click.pass_context
def command(
    context: click.Context,
    file: str | None,
    ref: Address | None,
    data: bool,
    sample: float | None,
    requires: str | None,
) -> None:
    """Check the store and change nothing; or compare FILE with the commit REF, else with the one it came from.

    Exits with 5 when something is not as it was written, or not as it should be.
    """
    settings = context.ensure_object(Settings)
    if data and sample is not None:
        raise InvalidInputError("--data reads everything and --sample a part of it; give one of them")
    if (data or sample is not None) and (file is not None or requires is not None):
        raise InvalidInputError("--data and --sample check the whole store; leave out FILE, REF and --requires")
    if requires is not None:
        ok = _check_completeness(settings, requires, file, ref)
    elif file is not None:
        ok = _check_file(settings, file, ref)
    else:
        ok = _check_store(settings, data, sample)
    context.exit(0 if ok else CorruptError.exit_code)


def _check_store(settings: Settings, data: bool, sample: float | None) -> bool:
    with open_store(settings) as store, Bar(settings, "checking") as bar:
        report = store.verify(data=data, sample=sample, progress=bar.reached)
    settings.report(lambda: report_document(report, data=data), lambda: report_lines(report, data=data))
    return report.ok


def _check_file(settings: Settings, file: str, ref: Address | None) -> bool:
    if not os.path.exists(file):
        raise InvalidInputError(f"no file {file!r}; to check a commit say what it must have, with --requires")
    with open_store(settings, ref) as store, Bar(settings, "comparing", os.path.getsize(file)) as bar:
        check = store.verify_file(file, None if ref is None else ref.ref, progress=bar.advance)
    settings.report(lambda: file_document(check), lambda: file_lines(check))
    return check.ok


def _check_completeness(settings: Settings, requires: str, first: str | None, second: Address | None) -> bool:
    if second is not None:
        raise InvalidInputError("--requires checks one commit; give one REF")
    names = [name for name in map(str.strip, requires.split(",")) if name]
    if not names:
        raise InvalidInputError("--requires needs names, such as model,optimizer,step")
    address = Address.parse(DEFAULT_REF if first is None else first)
    with open_store(settings, address) as store:
        found = store.completeness(address.ref, names)
    settings.report(lambda: completeness_document(found), lambda: completeness_lines(found))
    return found.ok
