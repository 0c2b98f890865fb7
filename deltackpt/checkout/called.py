"""Names that would say something else than what is written: a folder called ``model.pt``, safetensors in ``x.bin``.

Whoever asks for such a name expects a conversion, which a checkout is not.
"""

from __future__ import annotations

from deltackpt.checkout.files import StoredFiles
from deltackpt.errors import InvalidInputError
from deltackpt.formats.suffixes import told_by
from deltackpt.history.commits import Commit

STATES = "safetensors"
"""What a state is written as."""

_FOLDERS = ("zarr",)


class MisnamedError(InvalidInputError):
    """A target whose name asks for another format than a checkout writes."""


def refuse_misnamed(commit: Commit, files: StoredFiles | None, path: str, part: str | None) -> None:
    """MisnamedError when ``path`` asks for another format than that of ``commit``, or of one ``part`` of it."""
    asked = told_by(path)
    becomes: str | None
    if files is not None and files.is_folder:
        becomes, why = "a folder", f"was made from the folder {files.name!r}"
        fits = asked in (None, *_FOLDERS)
    elif files is not None and part is None:
        becomes, why = told_by(files.name), f"was made from the file {files.name!r}"
        fits = None in (asked, becomes) or asked == becomes
    else:
        becomes, why = STATES, "is written as that"
        fits = asked in (None, becomes)
    if not fits:
        raise MisnamedError(
            f"{path!r} would be {becomes}: commit {commit.description} {why};"
            f" convert it with --format {asked}, or choose another name"
        )
