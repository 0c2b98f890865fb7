"""The commit: write everything aside, then publish it in one record.

1. Find the parent and its tensors: they are the delta bases.
2. Write chunks and manifest objects into a transaction. Nothing is visible yet.
3. Publish. Under the record's number, look again at where the branch stands: unchanged, go on; moved by
   another writer, refuse or take the new head as the parent.
A gc that took away something relied on in between sends us back to 2; the bytes are still at hand.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from deltackpt.chunkstore.encoder import ChunkEncoder
from deltackpt.chunkstore.index import View
from deltackpt.chunkstore.ingest import Ingest
from deltackpt.chunkstore.log_record import RefMove
from deltackpt.chunkstore.transaction import Decision, StaleTransactionError, Transaction
from deltackpt.codec.encode import DEFAULT_BUDGET
from deltackpt.commit.content import Content
from deltackpt.commit.parts import TensorWriter, WrittenPart, write_objects
from deltackpt.commit.request import CommitRequest, plain_config
from deltackpt.errors import ConflictError, InvalidInputError, LockedError, StorageError
from deltackpt.history.commits import Commit, History
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.objects import CommitObject, encode, encode_free_form
from deltackpt.history.provenance import environment
from deltackpt.history.refs import MAX_NAME_BYTES, Branch, Tag
from deltackpt.history.repository import Repository
from deltackpt.history.resolve import resolve
from deltackpt.ids import ChunkId, CommitId
from deltackpt.tensor.finite import Finiteness

_MAX_RESTARTS = 10
MAX_NONFINITE_NAMES = 1000


class BranchMovedError(ConflictError):
    """Another writer came first to the branch. ``theirs`` is its head now; ``ours``, if made, was not published."""

    def __init__(self, message: str, ours: CommitId | None, theirs: CommitId | None) -> None:
        super().__init__(message)
        self.ours = ours
        self.theirs = theirs


@dataclass(frozen=True, slots=True)
class _Start:
    """Where the commit begins: the head its branch had, and its parent."""

    head: CommitId | None
    parent: Commit | None

    @property
    def rewinds(self) -> bool:
        """Whether the caller leaves the head behind for a line of its own."""
        return self.head is not None and (self.parent is None or self.parent.id != self.head)


def commit(repository: Repository, content: Content, request: CommitRequest) -> Commit:
    """Store ``content`` and publish it as a commit; returns once it is durable.

    BranchMovedError when another commit came first (its packs are kept for the retry, unless ``on_conflict`` is
    "rebase"); InvalidInputError when the step does not fit; StorageError when the disk refuses. The
    store is as before then.
    """
    start = repository.look(lambda history: _start(history, request))
    _check_step(request, start)
    for _ in range(_MAX_RESTARTS):
        try:
            return _attempt(repository, content, request, start)
        except StaleTransactionError:
            continue
    raise LockedError(f"gave up after gc overtook this commit {_MAX_RESTARTS} times; run gc less often")


def _start(history: History, request: CommitRequest) -> _Start:
    head = history.view.ref(Branch(request.branch).key)
    _check_names(history, request)
    _check_expected(request, head)
    if request.parent is None:
        return _Start(head, history.commit(head) if head is not None else None)
    if isinstance(request.parent, Commit):
        return _Start(head, history.commit(request.parent.id))
    return _Start(head, resolve(history, request.parent))


def _check_names(history: History, request: CommitRequest) -> None:
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


def _check_expected(request: CommitRequest, head: CommitId | None) -> None:
    if request.expected is None or request.expected.head == head:
        return
    left = request.expected.head.short if request.expected.head is not None else "nowhere"
    now = head.short if head is not None else "nowhere"
    raise BranchMovedError(
        f"{Branch(request.branch)} stands at {now} and was left at {left}: somebody else writes it, too", None, head
    )


def _check_step(request: CommitRequest, start: _Start) -> None:
    """A line's steps only grow: the caller who goes back says so with ``parent``. A new branch may count anew."""
    parent = start.parent
    if request.step is None or parent is None or parent.step is None or request.step > parent.step:
        return
    if start.head is None:
        return
    raise InvalidInputError(
        f"step {request.step} is not after step {parent.step}, where {Branch(request.branch)} stands"
        f" ({parent.id.short}); to rewind, name an older commit with parent="
    )


def _attempt(repository: Repository, content: Content, request: CommitRequest, start: _Start) -> Commit:
    encoder = ChunkEncoder(repository.reader, repository.options.chain_budget or DEFAULT_BUDGET)
    repository.reader.cache.begin()
    with (
        Transaction(repository.chunks, repository.reader) as transaction,
        Ingest(transaction, repository.reader, encoder, repository.executor, repository.ahead) as ingest,
    ):
        bases = _parent_tensors(repository, start.parent)
        parts = TensorWriter(ingest, bases, repository.chunks.facts.chunk_bytes).write(content.parts)
        ingest.finish()
        draft = _describe(ingest, parts, request, start)
        ingest.finish()
        published = _publish(repository, transaction, draft, request, start)
    for entry, part in zip(draft.parts, parts, strict=True):
        repository.manifests.remember(entry.id, part.stored)
    return published


def _parent_tensors(repository: Repository, parent: Commit | None) -> dict[str, StoredTensor]:
    """The parent's tensors by name, of the parts that it has now.

    A transaction notices what a gc takes away after it began; what went before that is left out here.
    NotFoundError when it is the parent itself.
    """
    if parent is None:
        return {}
    present = repository.look(lambda history: history.commit(parent.id)).parts
    parts = (repository.manifests.part(part.id) for part in present)
    return {tensor.name: tensor for part in parts for tensor in part.tensors}


def _describe(ingest: Ingest, parts: list[WrittenPart], request: CommitRequest, start: _Start) -> CommitObject:
    tensors = [tensor for part in parts for tensor in part.tensors]
    became = [tensor.layout.name for tensor in tensors if tensor.became_nonfinite]
    was_ill = start.parent is not None and not start.parent.healthy
    ill = bool(became) or (was_ill and any(t.ingested.finiteness is Finiteness.NAN for t in tensors))
    return CommitObject(
        parents=(start.parent.id,) if start.parent is not None else (),
        branch=request.branch,
        step=request.step,
        time_ns=time.time_ns(),
        metrics=dict(request.metrics),
        message=request.message,
        parts=tuple(write_objects(ingest, part) for part in parts),
        nonfinite=tuple(became[:MAX_NONFINITE_NAMES]),
        healthy=not ill,
        environment=ingest.object(encode(environment())),
        config=_free_form(ingest, plain_config(request.config)),
        meta=_free_form(ingest, request.meta),
    )


def _free_form(ingest: Ingest, value: object) -> bytes:
    if value is None:
        return b""
    try:
        return ingest.object(encode_free_form(value))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidInputError(f"config and meta hold plain data only: {error}") from None


def _publish(
    repository: Repository, transaction: Transaction, draft: CommitObject, request: CommitRequest, start: _Start
) -> Commit:
    try:
        record = transaction.publish(lambda view: _decide(repository.history(view), draft, request, start))
    except ConflictError:
        # Published without a commit, the chunks are found by the retry, which then costs next to nothing.
        with contextlib.suppress(StaleTransactionError, StorageError):
            transaction.publish(lambda view: Decision("keep"))
        raise
    identity = CommitId(ChunkId.of(record.commits[0].data))
    return repository.look(lambda history: history.commit(identity))


def _decide(history: History, draft: CommitObject, request: CommitRequest, start: _Start) -> Decision:
    branch = Branch(request.branch)
    head = history.view.ref(branch.key)
    _check_names(history, request)
    if head != start.head:
        draft = _rebased(history, draft, request, start, head)
    data = encode(draft)
    identity = CommitId(ChunkId.of(data))
    moves = [RefMove(branch.key, head, identity)]
    moves += [RefMove(Tag(tag).key, None, identity) for tag in request.tags]
    if start.rewinds and head == start.head and head is not None:
        moves += _keep_abandoned(history.view, branch, head)
    return Decision("commit", tuple(moves), (data,))


def _rebased(
    history: History, draft: CommitObject, request: CommitRequest, start: _Start, head: CommitId | None
) -> CommitObject:
    """The draft on top of the head that another writer published; BranchMovedError unless the caller asked for it."""
    ours = CommitId(ChunkId.of(encode(draft)))
    if request.on_conflict != "rebase" or start.rewinds or head is None:
        theirs = head or ours
        now = f"now stands at {head.short}" if head is not None else "was deleted meanwhile"
        raise BranchMovedError(
            f"{Branch(request.branch)} {now}, so our commit {ours.short} was not published;"
            " its data is kept: commit again, or pass on_conflict='rebase'",
            ours,
            theirs,
        )
    parent = history.commit(head)
    _check_step(request, _Start(head, parent))
    return CommitObject(
        **{name: getattr(draft, name) for name in draft.__struct_fields__ if name != "parents"}, parents=(parent.id,)
    )


def _keep_abandoned(view: View, branch: Branch, head: CommitId) -> list[RefMove]:
    """A branch for the line that a rewind leaves, unless some other ref holds its end already."""
    if any(commit == head for key, commit in view.refs().items() if key != branch.key):
        return []
    name = f"abandoned/{branch.name}-{head.short}"
    if len(name.encode()) > MAX_NAME_BYTES:
        name = f"abandoned/{head.short}"
    return [RefMove(Branch(name).key, None, head)]
