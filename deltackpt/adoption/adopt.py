"""Committing checkpoints that are on disk already, one after another, and comparing what was stored with them.

An import that was interrupted goes on where it stopped: what a branch holds is known by the path, size and time that
are kept beside its commit, or by being the same, byte for byte, as what it holds of that step. An original is removed
only once its commit is durable and every byte of it was compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deltackpt.adoption.found import FoundCheckpoint
from deltackpt.adoption.removal import Original
from deltackpt.checkout.compare import differences
from deltackpt.errors import CorruptError, InvalidInputError
from deltackpt.formats.wording import quoted, shown_path
from deltackpt.fs.bundle import Bundle
from deltackpt.history.commits import Commit
from deltackpt.history.refs import Branch
from deltackpt.history.repository import Repository

ORIGIN = "imported"

Commits = Callable[[FoundCheckpoint], Commit]
"""Commits a checkpoint."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A checkpoint and its commit. ``known`` says that the branch had it already."""

    found: FoundCheckpoint
    commit: Commit
    known: bool
    removed: bool


def imported(repository: Repository, branch: str) -> dict[str, Commit]:
    """Commits of a branch that were imported, by the absolute path that each came from; the newest of a path."""
    return _origins(_line(repository, branch))


def adopt(
    repository: Repository, checkpoints: Sequence[FoundCheckpoint], branch: str, commit: Commits, *, remove: bool
) -> Iterator[Adopted]:
    """Commit each checkpoint unless ``branch`` has it, compare it, and with ``remove`` remove it.

    InvalidInputError, before anything is written, when the branch has reached the step of one that it does not have.
    CorruptError, before anything of it is removed, when what was stored is not what is on disk; ChangedError when
    somebody wrote to it after it was compared.
    """
    planned = _planned(repository, checkpoints, branch)
    return _adopted(repository, planned, commit, remove=remove)


def _adopted(
    repository: Repository, planned: Sequence[tuple[FoundCheckpoint, Commit | None]], commit: Commits, *, remove: bool
) -> Iterator[Adopted]:
    for one, known in planned:
        made = known if known is not None else commit(one)
        original = Original.noted_at(one.place)
        if (different := next(differences(repository, made, one.place.where), None)) is not None:
            above = where.folder if isinstance(where := one.place.where, Bundle) else where
            shown = shown_path(os.path.join(above, different) if different else above)
            reason = "it was changed after its import, or" if known is not None else "it"
            raise CorruptError(
                f"{shown} is not what commit {made.description} holds: {reason} is damaged; nothing of it was removed;"
                " see `deltackpt verify --data`, or import it with a --branch of its own"
            )
        if remove:
            original.remove(made.id)
        yield Adopted(one, made, known is not None, remove)


def _planned(
    repository: Repository, checkpoints: Sequence[FoundCheckpoint], branch: str
) -> list[tuple[FoundCheckpoint, Commit | None]]:
    """Each checkpoint with the commit that ``branch`` has of it already."""
    line = _line(repository, branch)
    origins = _origins(line)
    by_step = {commit.step: commit for commit in reversed(line) if commit.step is not None}
    last = next((commit for commit in line if commit.step is not None), None)
    planned: list[tuple[FoundCheckpoint, Commit | None]] = []
    for one in checkpoints:
        known = origins.get(one.origin["path"])
        if known is None or known.meta[ORIGIN] != one.origin:
            known = None if one.step is None else by_step.get(one.step)
            if known is not None and any(differences(repository, known, one.place.where)):
                raise _in_the_way(one, branch, f"has another commit of that step, {known.id.short}")
        if known is None and one.step is not None and last is not None and one.step <= (last.step or 0):
            raise _in_the_way(one, branch, f"has reached {last.description}")
        planned.append((one, known))
    return planned


def _in_the_way(one: FoundCheckpoint, branch: str, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{shown_path(one.path)} is of step {one.step}, and branch {quoted(branch)} {what}; nothing was imported;"
        " give --branch the name of another"
    )


def _line(repository: Repository, branch: str) -> list[Commit]:
    """The commits of a branch, the newest first; none when there is no such branch."""

    def line(history: Any) -> list[Commit]:
        head = history.view.ref(Branch(branch).key)
        return [] if head is None else list(history.line(head))

    return repository.look(line)


def _origins(line: Sequence[Commit]) -> dict[str, Commit]:
    found: dict[str, Commit] = {}
    for commit in line:
        meta = commit.meta
        origin = meta.get(ORIGIN) if isinstance(meta, dict) else None
        if isinstance(origin, dict) and isinstance(origin.get("path"), str):
            found.setdefault(origin["path"], commit)
    return found
