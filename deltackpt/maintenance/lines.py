"""The lines of a store, as retention sees them: one for each branch, and one for each tag that no branch reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deltackpt.history.commits import Commit, History, commit_from_row
from deltackpt.history.refs import Branch, Ref, Tag, parse_key
from deltackpt.history.repository import Repository
from deltackpt.ids import CommitId


@dataclass(frozen=True, slots=True)
class Line:
    """A branch, or a tag behind which no branch stands, with its commits, newest first, without those deleted."""

    ref: Ref
    commits: tuple[Commit, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """All lines of a store. ``names`` are branches and tags by their commit; ``order`` ranks commits by publishing."""

    lines: tuple[Line, ...]
    names: Mapping[CommitId, Sequence[Ref]]
    order: Mapping[CommitId, int]

    def commits(self) -> list[Commit]:
        """Every commit once, newest first."""
        found = {commit.id: commit for line in self.lines for commit in line.commits}
        return sorted(found.values(), key=lambda commit: self.order[commit.id], reverse=True)


def read_lines(repository: Repository) -> Lines:
    """The lines as of the last record in the log."""
    return repository.look(_lines)


def _lines(history: History) -> Lines:
    names: dict[CommitId, list[Ref]] = {}
    for key, commit in history.view.refs().items():
        names.setdefault(commit, []).append(parse_key(key))
    order = {commit: at for at, commit in enumerate(history.view.order())}
    walk = _Walk(history)
    lines = [walk.line(ref, commit) for commit, refs in names.items() for ref in refs if isinstance(ref, Branch)]
    reached = {commit.id for line in lines for commit in line.commits}
    tagged = [(ref, commit) for commit, refs in names.items() for ref in refs if isinstance(ref, Tag)]
    # The newest first: an older one may lie behind it.
    for ref, commit in sorted(tagged, key=lambda named: order[named[1]], reverse=True):
        if commit not in reached:
            lines.append(walk.line(ref, commit))
            reached.update(found.id for found in lines[-1].commits)
    return Lines(tuple(lines), names, order)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Follows first parents. Lines share most of their commits, so each is read once."""

    history: History
    known: dict[CommitId, tuple[Commit, bool] | None] = field(default_factory=dict)

    def line(self, ref: Ref, start: CommitId) -> Line:
        commits = []
        current: CommitId | None = start
        while current is not None and (found := self._read(current)) is not None:
            commit, deleted = found
            if not deleted:
                commits.append(commit)
            current = commit.parents[0] if commit.parents else None
        return Line(ref, tuple(commits))

    def _read(self, identity: CommitId) -> tuple[Commit, bool] | None:
        """The commit and whether it was deleted, or None when it was dropped."""
        if identity not in self.known:
            row = self.history.view.commit(identity)
            deleted = self.history.view.deleted(identity)
            commit = None if row is None else commit_from_row(identity, row, self.history.load, deleted)
            self.known[identity] = None if commit is None else (commit, None in deleted)
        return self.known[identity]
