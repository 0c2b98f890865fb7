"""A file set: files of one folder that belong together, among others that do not."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileSet:
    """The files ``members`` of ``folder``, taken as a folder called ``name`` that holds nothing else."""

    folder: str
    name: str
    members: frozenset[str]


def path_in(where: str | FileSet, path: str) -> str:
    """Where ``path``, relative to a file, a folder or a file set, stands; the empty path is that of the whole."""
    root = where.folder if isinstance(where, FileSet) else where
    return os.path.join(root, path) if path else root
