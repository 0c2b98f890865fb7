"""Deleting commits and parts of commits: at first only a word in the log, which can be taken back until a gc."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deltackpt.chunkstore.log_record import Piece
from deltackpt.chunkstore.transaction import Decision
from deltackpt.chunkstore.view import View
from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.history.commits import Commit
from deltackpt.history.publish import publish
from deltackpt.history.refs import parse_key
from deltackpt.history.repository import Repository
from deltackpt.ids import CommitId


class StillNamedError(InvalidInputError):
    """A commit that a branch or a tag points to cannot be deleted."""


def delete(repository: Repository, commits: Iterable[Commit], thinned: Iterable[tuple[Commit, str]] = ()) -> None:
    """Delete whole commits, and of others single parts. Nothing is freed before a gc; :func:`undelete` takes it back.

    StillNamedError, before anything changes, when a branch or tag points to one of the commits.
    """
    pieces = [Piece(commit.id) for commit in commits]
    pieces += [Piece(commit.id, part) for commit, part in thinned]

    def decide(view: View) -> Decision:
        _refuse_named(view, [CommitId(piece.commit) for piece in pieces if piece.part is None])
        return Decision("delete", deleted=tuple(pieces))

    if pieces:
        publish(repository, decide)


def undelete(repository: Repository, prefix: str) -> CommitId:
    """Bring back a deleted commit and its thinned parts, by its id or a unique prefix of it; returns the id.

    Parts that a gc has purged stay thinned. NotFoundError when nothing of it was deleted, or all of that is purged.
    """
    commit = repository.look(lambda history: _deleted_with_prefix(history.view, prefix))

    def decide(view: View) -> Decision:
        deleted = view.deleted(commit)
        if not deleted:
            raise NotFoundError(f"nothing of commit {commit.short} is deleted")
        left = tuple(Piece(commit, part) for part, purged in deleted.items() if not purged)
        if deleted.get(None) or not left:
            raise NotFoundError(f"the contents of commit {commit.short} were purged by a gc and cannot be brought back")
        return Decision("undelete", undeleted=left)

    publish(repository, decide)
    return commit


def _refuse_named(view: View, commits: Sequence[CommitId]) -> None:
    going = set(commits)
    for key, commit in view.refs().items():
        if commit in going:
            ref = parse_key(key)
            raise StillNamedError(
                f"commit {commit.short} cannot be deleted: {ref} points to it; move or delete that first"
            )


def _deleted_with_prefix(view: View, prefix: str) -> CommitId:
    try:
        whole = bytes.fromhex(prefix[: len(prefix) // 2 * 2])
    except ValueError:
        raise NotFoundError(
            f"{prefix!r} is no commit id; deleted commits go by their id, `deltackpt log --deleted` lists them"
        ) from None
    found = [commit for commit in view.commits_with_prefix(whole) if commit.hex().startswith(prefix)]
    deleted = [commit for commit in found if view.deleted(commit)]
    if len(deleted) != 1:
        known = ", ".join(commit.short for commit in deleted[:5])
        what = f"is the beginning of several deleted commits: {known}" if deleted else "is no deleted commit"
        raise NotFoundError(f"{prefix!r} {what}; `deltackpt log --deleted` lists them")
    return deleted[0]
