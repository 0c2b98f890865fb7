"""Where a commit begins: the head that its branch had, its parent, and whether names and step fit them."""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.commit.request import CommitRequest
from deltackpt.errors import ConflictError, InvalidInputError
from deltackpt.history.commits import Commit, History
from deltackpt.history.refs import Branch, Tag
from deltackpt.history.resolve import resolve
from deltackpt.ids import CommitId


class BranchMovedError(ConflictError):
    """Another writer came first to the branch. ``theirs`` is its head now; ``ours``, if made, was not published."""

    def __init__(self, message: str, ours: CommitId | None, theirs: CommitId | None) -> None:
        super().__init__(message)
        self.ours = ours
        self.theirs = theirs


@dataclass(frozen=True, slots=True)
class Start:
    """The head of the branch when the commit began, the parent, and the commit that was named as a base."""

    head: CommitId | None
    parent: Commit | None
    base: Commit | None = None

    @property
    def rewinds(self) -> bool:
        """Whether the caller leaves the head behind for a line of its own."""
        return self.head is not None and not self.continues

    @property
    def continues(self) -> bool:
        """Whether the commit goes on where its branch stands."""
        return self.parent is not None and self.parent.id == self.head


def begin(history: History, request: CommitRequest) -> Start:
    """InvalidInputError when names or step do not fit, RefNotFoundError when there is no such parent or base.

    BranchMovedError when the branch does not stand where the caller left it.
    """
    check_names(history, request)
    base = None if request.base is None else _named(history, request.base)
    start = Start(history.view.ref(Branch(request.branch).key), _parent(history, request), base)
    _check_expected(request, start.head)
    check_step(history, request, start)
    return start


def _check_expected(request: CommitRequest, head: CommitId | None) -> None:
    if request.expected is None or request.expected.head == head:
        return
    left = request.expected.head.short if request.expected.head is not None else "nowhere"
    now = head.short if head is not None else "nowhere"
    raise BranchMovedError(
        f"{Branch(request.branch)} stands at {now} and was left at {left}: somebody else writes it, too", None, head
    )


def _parent(history: History, request: CommitRequest) -> Commit | None:
    if request.parent is None:
        head = history.view.ref(Branch(request.branch).key)
        return history.commit(head) if head is not None else None
    return _named(history, request.parent)


def _named(history: History, ref: str | Commit) -> Commit:
    return history.commit(ref.id) if isinstance(ref, Commit) else resolve(history, ref)


def check_names(history: History, request: CommitRequest) -> None:
    """Tags must be new, and no name may stand for both a branch and a tag."""
    refs = history.view.refs()
    for tag in request.tags:
        if Tag(tag).key in refs:
            raise InvalidInputError(
                f"tag {tag!r} exists already; move it with `deltackpt tag --force`, or choose another name"
            )
        if tag == request.branch or Branch(tag).key in refs:
            raise InvalidInputError(f"tag {tag!r}: a branch has that name already; choose another name")
    if Tag(request.branch).key in refs:
        raise InvalidInputError(f"branch {request.branch!r}: a tag has that name already; choose another name")


def check_step(history: History, request: CommitRequest, start: Start) -> None:
    """A line's steps only grow. The caller who goes back, or begins a branch, says so with ``parent`` and is free."""
    if request.step is None or start.parent is None or not start.continues:
        return
    last = next((commit for commit in history.line(start.parent.id) if commit.step is not None), None)
    if last is not None and last.step is not None and request.step <= last.step:
        raise InvalidInputError(
            f"step {request.step} is not after step {last.step}, which {Branch(request.branch)} has reached"
            f" ({last.id.short}); to rewind, name an older commit with --parent (parent=)"
        )
