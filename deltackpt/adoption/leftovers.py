"""Leftovers: what removals that were interrupted have set aside, now removed for good or put back in its place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from deltackpt.adoption.removal import Aside, asides_in
from deltackpt.checkout.compare import differences
from deltackpt.checkout.files import stored_files
from deltackpt.errors import NotFoundError
from deltackpt.fs.file_set import FileSet, path_in
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository


class Outcome(Enum):
    """What became of what was set aside."""

    REMOVED = auto()
    PUT_BACK = auto()
    IN_THE_WAY = auto()
    """Something else stands where it was, so that it stays aside."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What was set aside at ``path``, and what became of it."""

    path: str
    outcome: Outcome


def settle(repository: Repository, origins: Iterable[str]) -> Iterator[Settled]:
    """Settle what removals have left beside the paths ``origins``: nothing goes but what a commit still holds."""
    # A final model's files lie in the folder that it is called by.
    folders = {folder for path in origins for folder in (os.path.dirname(path), path)}
    for folder in sorted(folders):
        for aside in asides_in(folder):
            if aside.is_checked and _is_held(repository, aside):
                aside.remove()
                yield Settled(aside.path, Outcome.REMOVED)
            else:
                yield Settled(aside.path, Outcome.PUT_BACK if aside.put_back() else Outcome.IN_THE_WAY)


def _is_held(repository: Repository, aside: Aside) -> bool:
    try:
        commit = repository.resolve(aside.commit)
    except NotFoundError:
        return False
    where = _where(repository, commit, aside)
    different = (path_in(where, path) for path in differences(repository, commit, where))
    # Whatever is gone was removed, and the folders around it were opened up for that.
    return not any(os.path.lexists(path) and not os.path.isdir(path) for path in different)


def _where(repository: Repository, commit: Commit, aside: Aside) -> str | FileSet:
    """What is left of the original, as it was committed."""
    files, names = stored_files(repository, commit), os.listdir(aside.path)
    name = "" if files is None else files.name
    return os.path.join(aside.path, name) if names == [name] else FileSet(aside.path, name, frozenset(names))
