"""What has been taken away and can still be brought back: everything until a gc."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from deltackpt.history.commits import Commit, History, commit_from_row
from deltackpt.history.repository import Repository
from deltackpt.ids import CommitId


class Loss(enum.StrEnum):
    """How a commit was lost: deleted, some parts of it deleted, or no branch and no tag left that reaches it."""

    DELETED = "deleted"
    THINNED = "thinned"
    UNNAMED = "unnamed"


@dataclass(frozen=True, slots=True)
class Recoverable:
    """A commit that can be brought back, whole or by the ``parts`` that it lost."""

    commit: Commit
    loss: Loss
    parts: tuple[str, ...] = ()

    @property
    def remedy(self) -> str:
        """The command that brings it back."""
        if self.loss is Loss.UNNAMED:
            return f"deltackpt branch NAME {self.commit.id.short}"
        return f"deltackpt undelete {self.commit.id.short}"


def recoverable(repository: Repository) -> list[Recoverable]:
    """Everything that can be brought back, newest first."""
    return repository.look(lambda history: list(_recoverable(history)))[::-1]


def _recoverable(history: History) -> Iterator[Recoverable]:
    named = _named(history)
    for identity in history.view.order():
        row = history.view.commit(identity)
        if row is None:
            continue
        deleted = history.view.deleted(identity)
        commit = commit_from_row(identity, row, history.load, deleted)
        if None in deleted:
            if not deleted[None]:
                yield Recoverable(commit, Loss.DELETED)
            continue
        if parts := tuple(sorted(part for part, purged in deleted.items() if part is not None and not purged)):
            yield Recoverable(commit, Loss.THINNED, parts)
        if identity not in named:
            yield Recoverable(commit, Loss.UNNAMED)


def _named(history: History) -> set[CommitId]:
    """Every commit that a branch or a tag reaches."""
    found: set[CommitId] = set()
    pending = list(history.view.refs().values())
    while pending:
        identity = pending.pop()
        if identity in found or (row := history.view.commit(identity)) is None:
            continue
        found.add(identity)
        pending.extend(commit_from_row(identity, row, history.load).parents)
    return found
