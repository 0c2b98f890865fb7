"""The log as people read it: every publish is an operation, and the last ones can be taken back until a gc."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

from deltackpt.chunkstore.log_record import Annotation, LogRecord, Piece, Published, RefMove
from deltackpt.chunkstore.transaction import Decision
from deltackpt.chunkstore.view import View
from deltackpt.errors import ConflictError, NotFoundError
from deltackpt.history.publish import publish
from deltackpt.history.refs import parse_key
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, CommitId

_UNDO = "undo "


class CannotUndoError(ConflictError):
    """Something later stands on the operation, or a gc has taken what it would bring back."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One publish. ``number`` is its log record; ``what`` says in a few words what it changed."""

    number: int
    time: datetime.datetime
    operation: str
    actor: str
    what: tuple[str, ...]
    record: LogRecord

    @property
    def undone(self) -> int | None:
        """The operation that this one took back, if it is an undo."""
        return int(self.operation.removeprefix(_UNDO)) if self.operation.startswith(_UNDO) else None

    @property
    def revertible(self) -> bool:
        """Whether it moved refs, deleted or annotated something; what a gc does is final."""
        return bool(self.record.refs or self.record.deleted or self.record.undeleted or self.record.annotated)


def operations(repository: Repository) -> Iterator[Operation]:
    """Every operation, newest first."""
    return map(_operation, repository.chunks.log.latest_first())


def undo(repository: Repository, number: int | None = None) -> Operation:
    """Take back operation ``number``, or the newest that can be and was not yet; returns it.

    An undo is an operation of its own and can be taken back by its number. CannotUndoError when a ref has moved since,
    or a gc came first; NotFoundError when there is no such operation.
    """
    operation = _chosen(repository, number)

    def decide(view: View) -> Decision:
        record = operation.record
        return Decision(
            f"{_UNDO}{operation.number}",
            refs=tuple(_moved_back(view, move) for move in record.refs),
            deleted=record.undeleted,
            undeleted=tuple(_unpurged(view, record)),
            annotated=tuple(_taken_back(view, note) for note in record.annotated),
        )

    publish(repository, decide)
    return operation


def _chosen(repository: Repository, number: int | None) -> Operation:
    taken_back: set[int] = set()
    for operation in operations(repository):
        if operation.undone is not None:
            taken_back.add(operation.undone)
        if number is not None:
            if operation.number == number and operation.revertible:
                return operation
        elif operation.undone is None and operation.revertible and operation.number not in taken_back:
            return operation
    raise NotFoundError(
        "there is nothing to undo"
        if number is None
        else f"operation {number} does not exist or changed nothing that can be taken back"
    )


def _moved_back(view: View, move: RefMove) -> RefMove:
    ref = parse_key(move.name)
    now = view.ref(move.name)
    if now != move.new:
        raise CannotUndoError(f"{ref} has moved since; undo later operations first, `deltackpt oplog` lists them")
    if move.old is not None and view.commit(CommitId(move.old)) is None:
        raise CannotUndoError(f"commit {CommitId(move.old).short}, where {ref} stood, was taken by a gc")
    return RefMove(move.name, move.new, move.old)


def _taken_back(view: View, note: Annotation) -> Annotation:
    # Not a number equals nothing, itself included; as text it does.
    if repr(view.annotations(CommitId(note.commit)).get(note.name)) != repr(note.value):
        raise CannotUndoError(
            f"metric {note.name!r} of commit {CommitId(note.commit).short} was annotated again since;"
            " undo later operations first, `deltackpt oplog` lists them"
        )
    return Annotation(note.commit, note.name, note.value, note.old)


def _unpurged(view: View, record: LogRecord) -> Iterator[Piece]:
    for piece in record.deleted:
        if view.deleted(CommitId(piece.commit)).get(piece.part):
            raise CannotUndoError(f"the contents of commit {CommitId(piece.commit).short} were purged by a gc")
        yield piece


def _operation(published: Published) -> Operation:
    record = published.record
    time = datetime.datetime.fromtimestamp(record.time_ns / 1e9, datetime.UTC)
    return Operation(published.number, time, record.operation, record.actor, tuple(_changes(record)), record)


def _changes(record: LogRecord) -> Iterator[str]:
    for commit in record.commits:
        yield f"commit {CommitId(ChunkId.of(commit.data)).short}"
    for move in record.refs:
        old, new = (CommitId(c).short if c is not None else "nothing" for c in (move.old, move.new))
        yield f"{parse_key(move.name)}: {old} -> {new}"
    for note in record.annotated:
        value = "nothing" if note.value is None else f"{note.value:g}"
        yield f"commit {CommitId(note.commit).short}: {note.name} {value}"
    counts = {
        "deleted": record.deleted,
        "undeleted": record.undeleted,
        "purged": record.purged,
        "dropped": record.dropped,
        "packs": record.packs,
        "packs condemned": record.condemned,
        "packs gone": record.gone,
    }
    yield from (f"{what}: {len(things)}" for what, things in counts.items() if things)
