"""Names of files with the step and the metrics of a commit in them: ``step_{step}_loss_{val_loss:.4f}.safetensors``."""

from __future__ import annotations

import string

from deltackpt.errors import InvalidInputError
from deltackpt.formats.wording import quoted
from deltackpt.history.commits import Commit


def filled(template: str, commit: Commit) -> str:
    """``template`` with ``{step}``, ``{branch}``, ``{commit}`` (the short id) and metrics by name filled in.

    What follows a colon is Python's format; ``{{`` is a brace. InvalidInputError for a name that the commit lacks, or a
    format that does not fit.
    """
    fields: dict[str, object] = {"branch": commit.branch, "commit": commit.id.short, **commit.metrics}
    if commit.step is not None:
        fields["step"] = commit.step
    pieces = []
    try:
        for text, name, form, conversion in string.Formatter().parse(template):
            pieces.append(text)
            if name is not None:
                if name not in fields:
                    raise InvalidInputError(
                        f"{quoted(template)}: commit {commit.description} has no {name!r}; it has {', '.join(fields)}"
                    )
                # Values never lead to another folder.
                pieces.append(format(fields[name], form or "").replace("/", "-"))
            if conversion:
                raise ValueError("a conversion (!) is not known here")
    except ValueError as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{quoted(template)} cannot be filled in: {error}; correct the name") from None
    return "".join(pieces)
