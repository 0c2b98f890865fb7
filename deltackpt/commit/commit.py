"""The commit: write everything aside, then publish it in one record.

1. Find the parent and its tensors: they are the delta bases. What it lacks is looked for elsewhere.
2. Write chunks and manifest objects into a transaction. Nothing is visible yet.
3. Publish. Under the record's number, look again at where the branch stands: unchanged, go on; moved by
   another writer, refuse or take the new head as the parent.
A gc that took away something relied on in between sends us back to 2; the bytes are still at hand.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain

import msgspec

from deltackpt.chunkstore.encoder import ChunkEncoder
from deltackpt.chunkstore.ingest import Ingest
from deltackpt.chunkstore.log_record import LogRecord, RefMove
from deltackpt.chunkstore.transaction import Decision, StaleTransactionError, Transaction
from deltackpt.chunkstore.view import View
from deltackpt.codec.encode import DEFAULT_BUDGET
from deltackpt.commit.bases import Borrowed, borrowed_bases
from deltackpt.commit.earlier import of_earlier_steps
from deltackpt.commit.health import Found, Health, diagnose
from deltackpt.commit.parts import TensorWriter, WrittenPart, write_objects
from deltackpt.commit.request import CommitRequest
from deltackpt.commit.room import check_room
from deltackpt.commit.start import BranchMovedError, Start, begin, check_names, check_step
from deltackpt.content.content import Content
from deltackpt.errors import ConflictError, CorruptError, LockedError, NotFoundError, StorageError
from deltackpt.history.commits import Commit, History
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.objects import CommitObject, encode, encode_free_form
from deltackpt.history.provenance import environment
from deltackpt.history.refs import MAX_NAME_BYTES, Branch, Tag
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, CommitId

_MAX_RESTARTS = 10
_log = logging.getLogger("deltackpt")


class _OvertakenError(Exception):
    """Another writer was first, and the caller wants to go on top of what it published."""

    def __init__(self, start: Start) -> None:
        super().__init__()
        self.start = start


def commit(repository: Repository, content: Content, request: CommitRequest) -> Commit:
    """Store ``content`` and publish it as a commit; returns once it is durable.

    BranchMovedError when another commit came first (its packs are kept for the retry, unless ``on_conflict`` is
    "rebase"); InvalidInputError when the step does not fit; StorageError when the disk refuses. The
    store is as before then.
    """
    start = repository.look(lambda history: begin(history, request))
    for _ in range(_MAX_RESTARTS):
        try:
            return _attempt(repository, content, request, start)
        except StaleTransactionError:
            continue
    raise LockedError(f"gave up after gc overtook this commit {_MAX_RESTARTS} times; run gc less often")


def _attempt(repository: Repository, content: Content, request: CommitRequest, start: Start) -> Commit:
    encoder = ChunkEncoder(repository.reader, repository.options.chain_budget or DEFAULT_BUDGET)
    reader = repository.reader
    with ExitStack() as stack:
        transaction = stack.enter_context(Transaction(repository.chunks, reader))
        # After the transaction has begun, or a gc could take what is found here and nobody would notice.
        bases = _parent_tensors(repository, start.parent)
        own = {**(bases or {}), **of_earlier_steps(content, bases or {})}
        # Where the parent is damaged nothing is relied on without reading it, so nothing is borrowed either.
        borrowed = Borrowed() if bases is None else borrowed_bases(repository, content, own, start)
        lent, wide = {**own, **borrowed.bases}, borrowed.wide
        # What the search has read is at hand now, and may make room as this commit goes on.
        reader.cache.begin()
        known = reader.locate(chunk for tensor in chain(lent.values(), wide.values()) for chunk in tensor.chunks)
        ingest = Ingest(transaction, reader, encoder, repository.executor, repository.ahead, known)
        stack.enter_context(ingest)
        if bases is None:
            ingest.doubt()
            bases = {}
        check_room(repository, content, lent, wide, encoder)
        parts = TensorWriter(ingest, lent, wide, repository.chunks.facts.chunk_bytes).write(content.parts)
        ingest.finish()
        content.check_unchanged()
        found = {t.layout.name: t.ingested.finiteness for part in parts for t in part.tensors}
        health = diagnose(repository, start.parent, _finiteness(bases), found)
        draft = _describe(ingest, parts, request, start.parent, health)
        ingest.finish()
        published = _publish(repository, transaction, draft, request, start, found)
    if encoder.lost:
        _log.warning(
            "%d chunks of older commits cannot be read and gave no help; run `deltackpt verify`", len(encoder.lost)
        )
    for entry, part in zip(draft.parts, parts, strict=True):
        repository.manifests.remember(entry.id, part.stored)
    return published


def _parent_tensors(repository: Repository, parent: Commit | None) -> dict[str, StoredTensor] | None:
    """The parent's tensors by name, of the parts that it has now; None, with a warning, when they are damaged or lost.

    A transaction notices what a gc takes away after it began; what went before that is left out here.
    NotFoundError when it is the parent itself.
    """
    if parent is None:
        return {}
    present = repository.look(lambda history: history.commit(parent.id)).parts
    try:
        parts = [repository.manifests.part(part.id) for part in present]
    except (CorruptError, NotFoundError) as error:
        _log.warning("commit %s is damaged (%s), so nothing of it helps to store the next one", parent.id.short, error)
        return None
    return {tensor.name: tensor for part in parts for tensor in part.tensors}


def _finiteness(tensors: dict[str, StoredTensor]) -> Found:
    return {name: tensor.finiteness for name, tensor in tensors.items()}


def _describe(
    ingest: Ingest, parts: Sequence[WrittenPart], request: CommitRequest, parent: Commit | None, health: Health
) -> CommitObject:
    return CommitObject(
        parents=(parent.id,) if parent is not None else (),
        branch=request.branch,
        step=request.step,
        time_ns=time.time_ns(),
        metrics=dict(request.metrics),
        message=request.message,
        parts=tuple(write_objects(ingest, part) for part in parts),
        nonfinite=health.fallen,
        healthy=health.healthy,
        environment=ingest.object(encode(dict(environment() if request.environment is None else request.environment))),
        config=_free_form(ingest, request.config),
        meta=_free_form(ingest, request.meta),
    )


def _free_form(ingest: Ingest, value: object) -> bytes:
    return b"" if value is None else ingest.object(encode_free_form(value))


def _publish(
    repository: Repository,
    transaction: Transaction,
    draft: CommitObject,
    request: CommitRequest,
    start: Start,
    found: Found,
) -> Commit:
    """Publish the draft where the branch stands; again on top of a head that another writer put there, if asked to."""
    while True:
        try:
            record = _record(repository, transaction, draft, request, start)
        except _OvertakenError as overtaken:
            start = overtaken.start
            draft = _on_top(repository, draft, start.parent, found)
        else:
            return repository.resolve(CommitId(ChunkId.of(record.commits[0].data)))


def _record(
    repository: Repository, transaction: Transaction, draft: CommitObject, request: CommitRequest, start: Start
) -> LogRecord:
    decide = partial(_decide, draft=draft, request=request, start=start)
    try:
        return transaction.publish(lambda view: decide(repository.history(view)))
    except ConflictError:
        # Published without a commit, the chunks are found by the retry, which then costs next to nothing.
        with contextlib.suppress(StaleTransactionError, StorageError):
            transaction.publish(lambda view: Decision("keep"))
        raise


def _on_top(repository: Repository, draft: CommitObject, parent: Commit | None, found: Found) -> CommitObject:
    """The draft with another parent, and what that says about its health."""
    assert parent is not None
    health = diagnose(repository, parent, _finiteness(_parent_tensors(repository, parent) or {}), found)
    return msgspec.structs.replace(draft, parents=(parent.id,), nonfinite=health.fallen, healthy=health.healthy)


def _decide(history: History, draft: CommitObject, request: CommitRequest, start: Start) -> Decision:
    branch = Branch(request.branch)
    head = history.view.ref(branch.key)
    check_names(history, request)
    data = encode(draft)
    identity = CommitId(ChunkId.of(data))
    if head != start.head:
        raise _moved(history, request, head, identity)
    moves = [RefMove(branch.key, head, identity)]
    moves += [RefMove(Tag(tag).key, None, identity) for tag in request.tags]
    if start.rewinds and head is not None:
        moves += _keep_abandoned(history.view, branch, head)
    return Decision("commit", tuple(moves), (data,))


def _moved(
    history: History, request: CommitRequest, head: CommitId | None, ours: CommitId
) -> _OvertakenError | BranchMovedError:
    """What to raise when the branch stands at another ``head`` than it did. A parent that was named is not replaced."""
    if request.on_conflict == "rebase" and request.parent is None and head is not None:
        onto = Start(head, history.commit(head))
        check_step(history, request, onto)
        return _OvertakenError(onto)
    now = f"now stands at {head.short}" if head is not None else "was deleted meanwhile"
    return BranchMovedError(
        f"{Branch(request.branch)} {now}, so our commit {ours.short} was not published;"
        " its data is kept: commit again, or with --on-conflict rebase (on_conflict='rebase')",
        ours,
        head or ours,
    )


def _keep_abandoned(view: View, branch: Branch, head: CommitId) -> list[RefMove]:
    """A branch for the line that a rewind leaves, unless some other ref holds its end already."""
    if any(commit == head for key, commit in view.refs().items() if key != branch.key):
        return []
    name = f"abandoned/{branch.name}-{head.short}"
    if len(name.encode()) > MAX_NAME_BYTES:
        name = f"abandoned/{head.short}"
    return [RefMove(Branch(name).key, None, head)]
