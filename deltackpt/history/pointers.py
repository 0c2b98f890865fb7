"""Moving branches and tags by hand: each change is a record of its own."""

from __future__ import annotations

from collections.abc import Callable

from deltackpt.chunkstore.log_record import RefMove
from deltackpt.chunkstore.view import View
from deltackpt.errors import InvalidInputError
from deltackpt.history.commits import Commit
from deltackpt.history.publish import publish
from deltackpt.history.refs import Branch, Ref, Tag
from deltackpt.history.repository import Repository
from deltackpt.history.resolve import DEFAULT_BRANCH, RefNotFoundError, near_matches


def list_refs(repository: Repository, kind: type[Ref]) -> dict[str, Commit]:
    """Branches or tags by name, with the commits they point to."""
    prefix = kind("x").key.removesuffix("x")
    return repository.look(
        lambda history: {
            key.removeprefix(prefix): history.commit(commit)
            for key, commit in history.view.refs().items()
            if key.startswith(prefix)
        }
    )


def set_ref(repository: Repository, ref: Ref, target: Commit, *, force: bool = False) -> None:
    """Create ``ref``, or with ``force`` move it; InvalidInputError when it, or one of the other kind, has that name."""

    def decide(view: View) -> RefMove:
        old = view.ref(ref.key)
        if old is not None and not force:
            raise InvalidInputError(f"{ref} exists already, at {old.short}; move it with --force (force=True)")
        if (other := _namesake(ref)).key in view.refs():
            raise InvalidInputError(f"{ref}: there is a {other} already; choose another name")
        if view.commit(target.id) is None or None in view.deleted(target.id):
            raise RefNotFoundError(f"commit {target.id.short} is not in the store any more")
        return RefMove(ref.key, old, target.id)

    _publish(repository, decide)


def delete_ref(repository: Repository, ref: Ref) -> None:
    """Remove ``ref``; its commits stay until gc. RefNotFoundError with near matches when it does not exist."""
    if isinstance(ref, Branch) and ref.name == DEFAULT_BRANCH:
        raise InvalidInputError(f"{ref} is the default branch and stays; delete its commits by moving it")

    def decide(view: View) -> RefMove:
        old = view.ref(ref.key)
        if old is None:
            raise RefNotFoundError(f"no {ref}{near_matches(ref.name, view.refs(), type(ref))}")
        return RefMove(ref.key, old, None)

    _publish(repository, decide)


def _publish(repository: Repository, decide: Callable[[View], RefMove]) -> None:
    # Listing refs goes without what writing takes: 10 ms to import.
    from deltackpt.chunkstore.transaction import Decision

    publish(repository, lambda view: Decision("ref", (decide(view),)))


def _namesake(ref: Ref) -> Ref:
    """The tag with a branch's name, or the branch with a tag's."""
    return Tag(ref.name) if isinstance(ref, Branch) else Branch(ref.name)
