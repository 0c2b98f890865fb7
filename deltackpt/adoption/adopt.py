"""Committing checkpoints that are on disk already, one after another, and comparing what was stored with them.

An import that was interrupted goes on where it stopped: what a branch holds is known by the path, size and time that
are kept beside its commit, or by being the same, byte for byte, as what it holds of that step. What is known and
untouched since is not read again, but for the newest, of which an interruption may have come before it was compared. An
original is removed only once its commit is durable and every byte of it was compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from deltackpt.adoption.found import FoundCheckpoint
from deltackpt.adoption.removal import Original
from deltackpt.checkout.compare import differences, is_untouched
from deltackpt.errors import CorruptError, InvalidInputError
from deltackpt.formats.wording import quoted, shown_path
from deltackpt.fs.file_set import path_in
from deltackpt.history.commits import Commit
from deltackpt.history.refs import Branch
from deltackpt.history.repository import Repository

ORIGIN = "imported"

Commits = Callable[[FoundCheckpoint], Commit]
"""Commits a checkpoint."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A checkpoint and its commit.

    ``known`` says that the branch had it already, ``compared`` that every byte was compared, and not only sizes, modes
    and times.
    """

    found: FoundCheckpoint
    commit: Commit
    known: bool
    compared: bool
    removed: bool


@dataclass(frozen=True, slots=True)
class _Planned:
    """A checkpoint, and the commit that the branch has of it; ``compared`` says that it was found to be the same."""

    found: FoundCheckpoint
    known: Commit | None = None
    compared: bool = False


def imported(repository: Repository, branch: str) -> dict[str, Commit]:
    """Commits of a branch that were imported, by the absolute path that each came from; the newest of a path."""
    return _origins(_commits(repository, branch))


def adopt(
    repository: Repository,
    checkpoints: Sequence[FoundCheckpoint],
    branch: str,
    commit: Commits,
    *,
    remove: bool,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Adopted]:
    """Commit each checkpoint unless ``branch`` has it, compare it, and with ``remove`` remove it.

    InvalidInputError, before anything is written, when the branch has reached the step of one that it does not have.
    CorruptError, before anything of it is removed, when what was stored is not what is on disk; ChangedError when
    somebody wrote to it after it was compared. ``progress`` hears of bytes as they are compared.
    """
    line = _Line.of(repository, branch)
    planned = [line.planned(one) for one in checkpoints]
    return _adopted(repository, planned, line.newest, commit, remove=remove, progress=progress)


def _adopted(
    repository: Repository,
    planned: Sequence[_Planned],
    newest: Commit | None,
    commit: Commits,
    *,
    remove: bool,
    progress: Callable[[int], None] | None,
) -> Iterator[Adopted]:
    for one in planned:
        found, known = one.found, one.known
        made = commit(found) if known is None else known
        original = Original.noted_at(found.place)
        is_left = known is not None and not remove and known != newest and not one.compared
        compared = not (is_left and is_untouched(repository, made, found.place.where))
        if compared and not (one.compared and not remove):
            _compare(repository, one, made, progress)
        if remove:
            original.remove(made.id)
        yield Adopted(found, made, known is not None, compared, remove)


def _compare(repository: Repository, one: _Planned, made: Commit, progress: Callable[[int], None] | None) -> None:
    where = one.found.place.where
    if (different := next(differences(repository, made, where, progress), None)) is not None:
        reason = "it" if one.known is None else "it was changed after its import, or"
        raise CorruptError(
            f"{shown_path(path_in(where, different))} is not what commit {made.description} holds: {reason} is damaged;"
            " nothing of it was removed; see `deltackpt verify --data`, or import it with a --branch of its own"
        )


@dataclass(frozen=True, slots=True)
class _Line:
    """What a branch has already; ``last`` is the step that it has reached, ``newest`` its last commit."""

    repository: Repository
    branch: str
    origins: Mapping[str, Commit]
    by_step: Mapping[int, Commit]
    last: int
    newest: Commit | None

    @classmethod
    def of(cls, repository: Repository, branch: str) -> Self:
        line = _commits(repository, branch)
        by_step = {commit.step: commit for commit in reversed(line) if commit.step is not None}
        last = next((commit.step for commit in line if commit.step is not None), -1)
        return cls(repository, branch, _origins(line), by_step, last, next(iter(line), None))

    def planned(self, one: FoundCheckpoint) -> _Planned:
        """A checkpoint with the commit that the branch has of it; without its step if that yields to the branch's."""
        known = self.origins.get(one.origin["path"])
        if known is not None and known.meta[ORIGIN] == one.origin:
            return _Planned(one, known)
        if one.step is None or (one.step > self.last and one.step not in self.by_step):
            return _Planned(one)
        same = self.by_step.get(one.step)
        if same is not None and next(differences(self.repository, same, one.place.where), None) is None:
            return _Planned(one, same, compared=True)
        if one.yields:
            return _Planned(replace(one, step=None))
        what = f"has another commit of that step, {same.id.short}" if same else f"has reached step {self.last}"
        raise InvalidInputError(
            f"{shown_path(one.path)} is of step {one.step}, and branch {quoted(self.branch)} {what};"
            " nothing was imported; give --branch the name of another"
        )


def _commits(repository: Repository, branch: str) -> list[Commit]:
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
