"""Folders under names of files: whoever asks for ``model.pt`` expects a conversion, which a checkout is not."""

from __future__ import annotations

from deltackpt.checkout.files import StoredFiles
from deltackpt.errors import InvalidInputError
from deltackpt.formats.suffixes import told_by
from deltackpt.history.commits import Commit

_FOLDERS = ("zarr",)


class MisnamedError(InvalidInputError):
    """A target whose name asks for a file where a checkout writes a folder."""


def refuse_misnamed(commit: Commit, folder: StoredFiles, path: str) -> None:
    """MisnamedError when ``path`` is the name of a file of some format."""
    asked = told_by(path)
    if asked is not None and asked not in _FOLDERS:
        raise MisnamedError(
            f"{path!r} would be a folder: commit {commit.description} was made from the folder {folder.name!r};"
            f" convert it with --format {asked}, or choose another name"
        )
