"""Committing checkpoints that are on disk already, one after another, and comparing what was stored with them.

An import that was interrupted goes on where it stopped: what a branch holds is known by the path, size and time that
are kept beside its commit. An original is removed only once its commit is durable and every byte of it was compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deltackpt.adoption.found import FoundCheckpoint
from deltackpt.adoption.removal import Original
from deltackpt.checkout.compare import differences
from deltackpt.errors import CorruptError
from deltackpt.formats.wording import shown_path
from deltackpt.history.commits import Commit
from deltackpt.history.refs import Branch
from deltackpt.history.repository import Repository

ORIGIN = "imported"

Commits = Callable[[FoundCheckpoint], Commit]
"""Commits a checkpoint."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A checkpoint and its commit. ``known`` says that an earlier import had made it."""

    found: FoundCheckpoint
    commit: Commit
    known: bool
    removed: bool


def known_origins(repository: Repository, branch: str) -> dict[str, Commit]:
    """Commits of a branch that were imported, by the path that each came from."""

    def line(history: Any) -> list[Commit]:
        head = history.view.ref(Branch(branch).key)
        return [] if head is None else list(history.line(head))

    found: dict[str, Commit] = {}
    for commit in repository.look(line):
        meta = commit.meta
        origin = meta.get(ORIGIN) if isinstance(meta, dict) else None
        if isinstance(origin, dict) and isinstance(origin.get("path"), str):
            found.setdefault(origin["path"], commit)
    return found


def adopt(
    repository: Repository, checkpoints: Sequence[FoundCheckpoint], branch: str, commit: Commits, *, remove: bool
) -> Iterator[Adopted]:
    """Commit each checkpoint unless ``branch`` has it, compare it, and with ``remove`` remove it.

    CorruptError, before anything of it is removed, when what was stored is not what is on disk; ChangedError when
    somebody wrote to it after it was compared.
    """
    known = known_origins(repository, branch)
    for one in checkpoints:
        made = known.get(one.origin["path"])
        if made is not None and made.meta[ORIGIN] != one.origin:
            made = None
        is_known = made is not None
        made = made if made is not None else commit(one)
        original = Original.noted_at(one.path)
        if (different := next(differences(repository, made, one.path), None)) is not None:
            where = shown_path(os.path.join(one.path, different) if different else one.path)
            raise CorruptError(
                f"{where} is not what commit {made.description} holds; nothing was removed; import it again,"
                " or run `deltackpt verify --data`"
            )
        if remove:
            original.remove()
        yield Adopted(one, made, is_known, remove)
