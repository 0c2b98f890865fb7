"""Names of files with the step and the metrics of a commit in them: ``step_{step}_loss_{val_loss:.4f}.safetensors``."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping

from deltackpt.checkout.files import stored_files
from deltackpt.errors import InvalidInputError
from deltackpt.formats.wording import quoted
from deltackpt.fs.beneath import is_plain_path
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository

NAME = "name"
_NAMED_IN_AN_ERROR = 5


def filled_for(repository: Repository, template: str, commits: Iterable[Commit]) -> list[tuple[str, Commit]]:
    """Each commit with ``template`` filled in for it.

    Known are ``{step}``, ``{branch}``, ``{commit}`` (the short id), ``{name}`` (of the file or folder that was
    committed) and metrics by name. What follows a colon is Python's format; ``{{`` is a brace. InvalidInputError for a
    name that some commits lack, with those that do, or a format that does not fit.
    """
    needed = _names(template)
    told = [(commit, _fields(repository, commit, named=NAME in needed)) for commit in commits]
    for name in needed:
        lacking = [commit for commit, fields in told if name not in fields]
        if lacking:
            raise InvalidInputError(f"{quoted(template)}: {_lack(name, lacking, told)}")
    return [(_filled(template, fields), commit) for commit, fields in told]


def _fields(repository: Repository, commit: Commit, *, named: bool) -> dict[str, object]:
    fields: dict[str, object] = {"branch": commit.branch, "commit": commit.id.short, **commit.metrics}
    if commit.step is not None:
        fields["step"] = commit.step
    files = stored_files(repository, commit) if named else None
    if files is not None and is_plain_path(files.name):
        fields[NAME] = files.name
    return fields


def _lack(name: str, lacking: list[Commit], told: list[tuple[Commit, dict[str, object]]]) -> str:
    """``2 of 5 commits have no 'step': 9682cd0cfea9, 1bf837a44268; all have branch, commit``."""
    more = ", ..." if len(lacking) > _NAMED_IN_AN_ERROR else ""
    listed = f"{', '.join(commit.description for commit in lacking[:_NAMED_IN_AN_ERROR])}{more}"
    shared = ", ".join(key for key in told[0][1] if all(key in fields for _, fields in told) and key != NAME)
    if len(told) == 1:
        return f"commit {listed} has no {name!r}; it has {shared}, and {NAME} if it was a file or folder"
    verb = "has" if len(lacking) == 1 else "have"
    return (
        f"{len(lacking)} of {len(told)} commits {verb} no {name!r}: {listed}; nothing was written;"
        f" all have {shared}, and those that were files or folders have {NAME}"
    )


def _pieces(template: str) -> Iterable[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(template))
    except ValueError as error:
        raise _unfit(template, error) from None


def _names(template: str) -> list[str]:
    """The names that ``template`` asks for, each once."""
    return list(dict.fromkeys(name for _, name, _, _ in _pieces(template) if name is not None))


def _filled(template: str, fields: Mapping[str, object]) -> str:
    filled = []
    try:
        for text, name, form, conversion in _pieces(template):
            filled.append(text)
            if name is not None:
                # Values never lead to another folder.
                filled.append(format(fields[name], form or "").replace("/", "-"))
            if conversion:
                raise ValueError("a conversion (!) is not known here")
    except ValueError as error:
        raise _unfit(template, error) from None
    return "".join(filled)


def _unfit(template: str, error: ValueError) -> InvalidInputError:
    return InvalidInputError(f"{quoted(template)} cannot be filled in: {error}; correct the name")
