"""The index: which chunk lies where, and what refs and commits the log has come to.

A cache of log and packs as of one record. It is caught up on every use, and thrown away and built again
on any doubt. Rows of a record may be applied in several transactions; the record counts as applied only with
the last, and applying it again changes nothing.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import lmdb
import msgspec

from deltackpt.chunkstore.environment import Environment, IndexDamagedError, Tables, shared_environment
from deltackpt.chunkstore.location import Location, inline_pack, inline_record, locations
from deltackpt.chunkstore.log_record import Annotation, LogRecord, Piece, Position, Published
from deltackpt.chunkstore.pack import PackEntry
from deltackpt.chunkstore.record import parse_head
from deltackpt.ids import ChunkId, CommitId, EpochId, PackId

ROWS_PER_TRANSACTION = 4096
_APPLIED = b"applied"
_STORE = b"store"
_DELETIONS = b"deletions"
_TAIL = b"tail"
_PAST = b"past"
_EPOCH = b"epoch"
_OPENED = b"opened"
_ORPHAN = b"orphan:"
_CONDEMNED = b"condemned:"
_DELETED = b"deleted:"
_ANNOTATED = b"annotated:"
_INLINE = b"inline:"
_LOST = b"lost:"

Progress = Callable[[int, int], None]


class PackRow(msgspec.Struct, frozen=True, array_like=True):
    """A pack of the store: its file size, its number of records, and the log record that added it.

    ``listed`` tells whether its chunks have rows: the file of one that went later is not there to be read.
    """

    size: int
    records: int
    added: int
    listed: bool


class CommitRow(msgspec.Struct, frozen=True, array_like=True):
    """A commit: the log record that published it, what it added, and the commit object itself."""

    number: int
    stored_bytes: int
    data: bytes


_pack_row = msgspec.msgpack.Decoder(PackRow)
_commit_row = msgspec.msgpack.Decoder(CommitRow)
_deleted_row = msgspec.msgpack.Decoder(tuple[str | None, bool])
_annotated_row = msgspec.msgpack.Decoder(tuple[str, float])
_encode = msgspec.msgpack.encode


@dataclass(frozen=True, slots=True)
class View:
    """What the index says, within one read transaction."""

    tables: Tables

    @property
    def applied(self) -> int:
        """Number of the last log record that is in the index."""
        return self._number(_APPLIED)

    @property
    def position(self) -> Position:
        """The place in the log after that record."""
        return Position(self.applied, EpochId(self.tables.get(b"meta", _EPOCH) or bytes(EpochId.size)))

    @property
    def epoch_length(self) -> int:
        """How many records the epoch holds in which the next record stands."""
        return self.applied - self._number(_OPENED)

    def chunk(self, chunk: ChunkId) -> Location | None:
        row = self.tables.get(b"chunks", chunk)
        return None if row is None else Location.from_row(row)

    def pack_of(self, chunk: ChunkId) -> PackId | None:
        """The pack of the copy in use: a small part of what :meth:`chunk` tells, in a small part of the time."""
        row = self.tables.get(b"chunks", chunk)
        return None if row is None else PackId(row[: PackId.size])

    @property
    def tail(self) -> bytes:
        """The write id of that record: the log may have gone another way since, when it was copied or put back."""
        return self.tables.get(b"meta", _TAIL) or b""

    @property
    def past(self) -> bytes:
        """Which past the index was built from; see ``past.py``."""
        return self.tables.get(b"meta", _PAST) or b""

    @property
    def deletions(self) -> int:
        """Number of the last record that took anything away, or put another copy of a chunk in use.

        While it stays the same so does the row of every chunk that has one.
        """
        return self._number(_DELETIONS)

    def _number(self, key: bytes) -> int:
        return int.from_bytes(self.tables.get(b"meta", key) or b"", "big")

    def condemned(self) -> frozenset[PackId]:
        """Packs that a gc has condemned and that are neither revived nor gone."""
        return frozenset(PackId(key) for key, _ in self._marked(_CONDEMNED))

    def is_orphan(self, pack: PackId) -> bool:
        """Whether a gc has claimed this unpublished pack; it must never be published then."""
        return self.tables.get(b"meta", _ORPHAN + pack) is not None

    def orphans(self) -> frozenset[PackId]:
        """Every unpublished pack that a gc has claimed."""
        return frozenset(PackId(key) for key, _ in self._marked(_ORPHAN))

    def is_lost(self, chunk: ChunkId) -> bool:
        """Whether a repair has declared the chunk lost, and no record has brought it since."""
        return self.tables.get(b"meta", _LOST + chunk) is not None

    def lost(self) -> frozenset[ChunkId]:
        """Every chunk that is declared lost."""
        return frozenset(ChunkId(key) for key, _ in self._marked(_LOST))

    def _marked(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows of ``meta`` whose keys begin with ``prefix``; the keys without it."""
        for key, row in self.tables.items(b"meta", prefix):
            if not key.startswith(prefix):
                return
            yield key[len(prefix) :], row

    def chunks(self) -> Iterator[tuple[ChunkId, Location]]:
        for key, row in self.tables.items(b"chunks"):
            yield ChunkId(key), Location.from_row(row)

    def pack(self, pack: PackId) -> PackRow | None:
        row = self.tables.get(b"packs", pack)
        return None if row is None else _pack_row.decode(row)

    def packs(self) -> dict[PackId, PackRow]:
        return {PackId(key): _pack_row.decode(row) for key, row in self.tables.items(b"packs")}

    def ref(self, name: str) -> CommitId | None:
        row = self.tables.get(b"refs", name.encode())
        # A miss looks at every row, which checks them: a name that is damaged must not pass for one that is free.
        return self.refs().get(name) if row is None else CommitId(row)

    def refs(self) -> dict[str, CommitId]:
        return {key.decode(): CommitId(row) for key, row in self.tables.all(b"refs")}

    def commit(self, commit: CommitId) -> CommitRow | None:
        row = self.tables.get(b"commits", commit)
        return None if row is None else _commit_row.decode(row)

    def deleted(self, commit: CommitId) -> dict[str | None, bool]:
        """The parts of a commit that were deleted, None standing for all of it, and whether they were purged since."""
        return dict(_deleted_row.decode(row) for _, row in self._marked(_DELETED + commit))

    def annotations(self, commit: CommitId) -> dict[str, float]:
        """Metrics of a commit that were found after it was made."""
        return dict(_annotated_row.decode(row) for _, row in self._marked(_ANNOTATED + commit))

    def commits_with_prefix(self, prefix: bytes) -> Iterator[CommitId]:
        for key, _ in self.tables.items(b"commits", prefix):
            if not key.startswith(prefix):
                return
            yield CommitId(key)

    def order(self) -> list[CommitId]:
        """Every commit, in the order of publishing."""
        return [CommitId(row[i : i + 32]) for _, row in self.tables.all(b"order") for i in range(0, len(row), 32)]

    def require_whole(self) -> None:
        """IndexDamagedError when a commit is missing that ought to be here: a power cut took back a page, or it rotted.

        Costs a look at every commit; for whoever would say that there is no such commit.
        """
        listed = sum(len(row) // 32 for _, row in self.tables.all(b"order"))
        if self.tables.count(b"commits") != listed:
            raise IndexDamagedError(f"{listed} commits are listed in order, and not as many are there")

    def newest(self) -> CommitId | None:
        last = self.tables.last(b"order")
        return CommitId(last[1][-32:]) if last else None


class Index:
    """The index of the store called ``store_id``, in ``folder``."""

    def __init__(self, folder: str, store_id: bytes, start: Position) -> None:
        self._folder = os.path.realpath(folder)
        self._store_id = store_id
        self._start = start

    @property
    def folder(self) -> str:
        return self._folder

    @property
    def _environment(self) -> Environment:
        return shared_environment(self._folder)

    @contextmanager
    def view(self) -> Iterator[View]:
        """A short look at the index; IndexDamagedError when it is missing, damaged or of another store."""
        with self._environment.reading() as tables:
            if tables.get(b"meta", _STORE) != self._store_id:
                raise IndexDamagedError("the index belongs to another store")
            yield View(tables)

    def update(self) -> Update:
        """The right to change the index, taken for one short transaction at a time."""
        environment = self._environment
        return Update(environment, environment.lock.exclusive)

    @contextmanager
    def renewing(self, damaged: int | None = None, past: bytes = b"") -> Iterator[Update | None]:
        """An :class:`Update` of an empty index in the place of whatever is there; everybody else waits.

        None when that is not the one with the inode ``damaged`` any more: somebody else was faster.
        """
        environment = self._environment
        with environment.lock.exclusive():
            if damaged is not None and environment.inode() != damaged:
                yield None
                return
            environment.rebuild()
            with environment.writing() as tables:
                tables.put(b"meta", _STORE, self._store_id)
                tables.put(b"meta", _EPOCH, self._start.epoch)
                tables.put(b"meta", _PAST, past)
            yield Update(environment, nullcontext)


class OvertakenError(Exception):
    """Somebody else has applied the record that was being applied. Never leaves the package."""


@dataclass(frozen=True, slots=True)
class Update:
    """Applies log records. ``turn`` takes the exclusive lock, for one transaction, unless it is held all the while.

    A record with many rows takes several transactions, and others have their turns between them. Two may then apply
    the same record at once: every transaction makes sure that it is still the next one, and doing its work twice
    changes nothing.
    """

    environment: Environment
    turn: Callable[[], AbstractContextManager[None]]

    @property
    def position(self) -> Position:
        with self.turn(), self.environment.writing() as tables:
            return View(tables).position

    def compact(self) -> int:
        """Give unused pages of the file back when they are most of it; returns the bytes that frees."""
        with self.turn():
            return self.environment.compact()

    def apply(self, published: Published, packs: Mapping[PackId, Sequence[PackEntry]]) -> None:
        """Bring one record in; OvertakenError when another did.

        ``packs`` holds the entries of the packs that it adds or declares gone, as far as their files exist.
        """
        record = published.record
        put = partial(_put_rows, takes_over=record.superseding)
        named = ((chunk, b"") for chunk in (*record.forgotten, *record.lost))
        leaving = [*self._rows_of(record.gone, packs), *named]
        batches = [*_batches(_chunk_rows(published, packs), put), *_batches(leaving, _remove_rows)]
        # Each transaction waits for the disk, so the last batch, which is mostly the only one, goes with the facts.
        for batch in batches[:-1]:
            self._write(published.number, [batch])
        self._write(published.number, [*batches[-1:], lambda tables: _apply_facts(tables, published, packs)])

    def _rows_of(self, gone: Iterable[bytes], packs: Mapping[PackId, Sequence[PackEntry]]) -> Iterator[_Row]:
        """Rows that still point into ``gone`` packs, which go with them.

        Where entries are not known (a file was unlinked before this index heard of it) every row is looked at.
        """
        unknown = []
        for pack in map(PackId, gone):
            if pack not in packs:
                unknown.append(pack)
                continue
            ids = [member.id for entry in packs[pack] for member in entry.head.members]
            for start in range(0, len(ids), ROWS_PER_TRANSACTION):
                yield from self._pointing_into(pack, ids[start : start + ROWS_PER_TRANSACTION])
        if listed := self._listed(unknown):
            yield from self._all_pointing_into(listed)

    def _listed(self, packs: Sequence[PackId]) -> frozenset[bytes]:
        """Those of ``packs`` into which rows may point."""
        if not packs:
            return frozenset()
        with self.turn(), self.environment.writing() as tables:
            return frozenset(pack for pack in packs if _is_listed(tables, pack))

    def _pointing_into(self, pack: PackId, ids: Sequence[ChunkId]) -> list[_Row]:
        with self.turn(), self.environment.writing() as tables:
            found = ((chunk, tables.get(b"chunks", chunk)) for chunk in ids)
            return [(bytes(chunk), row) for chunk, row in found if row is not None and row[:16] == pack]

    def _all_pointing_into(self, packs: frozenset[bytes]) -> Iterator[_Row]:
        start = b""
        while True:
            with self.turn(), self.environment.writing() as tables:
                rows = list(itertools.islice(tables.items(b"chunks", start), ROWS_PER_TRANSACTION))
            yield from (row for row in rows if row[1][:16] in packs)
            if len(rows) < ROWS_PER_TRANSACTION:
                return
            start = rows[-1][0] + b"\0"

    def _write(self, number: int, changes: Sequence[Callable[[Tables], None]]) -> None:
        """Make ``changes``, part of record ``number``, in a transaction, again with a larger map when it was full."""
        while True:
            with self.turn():
                try:
                    with self.environment.writing() as tables:
                        if View(tables).applied != number - 1:
                            raise OvertakenError
                        for change in changes:
                            change(tables)
                    return
                except lmdb.MapFullError:
                    self.environment.grow()


_Row = tuple[bytes, bytes]


def _batches(rows: Iterable[_Row], change: Callable[[list[_Row], Tables], None]) -> Iterator[Callable[[Tables], None]]:
    """``change`` of some thousand rows at a time, in key order, which LMDB likes best; equal keys keep their order."""
    ordered = iter(sorted(rows, key=itemgetter(0)))
    while batch := list(itertools.islice(ordered, ROWS_PER_TRANSACTION)):
        yield partial(change, batch)


def _chunk_rows(published: Published, packs: Mapping[PackId, Sequence[PackEntry]]) -> list[tuple[bytes, bytes]]:
    rows: list[tuple[bytes, bytes]] = [
        (chunk, location.pack_row())
        for added in published.record.packs
        if added.id in packs
        for entry in packs[PackId(added.id)]
        for chunk, location in locations(PackId(added.id), entry.offset, entry.head)
    ]
    for entry in inline_entries(published):
        rows.extend(
            (chunk, at.pack_row())
            for chunk, at in locations(inline_pack(published.epoch, published.number), entry.offset, entry.head)
        )
    unused = frozenset(published.record.duplicates)
    return [row for row in rows if row[0] not in unused] if unused else rows


def inline_entries(published: Published) -> Iterator[PackEntry]:
    """The records that a log record carries; offsets count from the start of its file."""
    view = memoryview(published.inline)
    at = 0
    while at < len(view):
        head = parse_head(view[at:], f"log record {published.number} inline byte {at}")
        yield PackEntry(published.inline_offset + at, head)
        at += head.stored_length


def _put_rows(rows: list[_Row], tables: Tables, takes_over: bool) -> None:
    """The first published copy stays in use, but for those of a superseding record, which take over."""
    lost = View(tables).lost()
    for key, row in rows:
        tables.put(b"chunks", key, row, overwrite=takes_over)
        if key in lost:
            tables.delete(b"meta", _LOST + key)


def _remove_rows(rows: list[_Row], tables: Tables) -> None:
    for key, row in rows:
        # A copy that came with this very record has taken over from the one that goes.
        if not row or tables.get(b"chunks", key) == row:
            tables.delete(b"chunks", key)


def _is_listed(tables: Tables, pack: PackId) -> bool:
    inline = inline_record(pack)
    if inline is not None:
        return tables.get(b"meta", _INLINE + inline.epoch) is not None
    row = View(tables).pack(pack)
    return row is not None and row.listed


def _apply_facts(tables: Tables, published: Published, listed: Collection[PackId]) -> None:
    _apply_packs(tables, published.number, published.record, listed)
    if published.inline and tables.get(b"meta", _INLINE + published.epoch) is None:
        tables.put(b"meta", _INLINE + published.epoch, b"")
    _apply_history(tables, published.number, published.record)
    tables.put(b"meta", _APPLIED, published.number.to_bytes(8, "big"))
    if published.record.sealed:
        tables.put(b"meta", _EPOCH, published.record.sealed)
        tables.put(b"meta", _OPENED, published.number.to_bytes(8, "big"))
    tables.put(b"meta", _TAIL, published.record.write_id)


def _apply_packs(tables: Tables, number: int, record: LogRecord, listed: Collection[PackId]) -> None:
    for added in record.packs:
        row = PackRow(added.size, added.records, number, PackId(added.id) in listed)
        tables.put(b"packs", added.id, _encode(row), overwrite=False)
    for pack in record.condemned:
        tables.put(b"meta", _CONDEMNED + pack, number.to_bytes(8, "big"))
    for pack in (*record.revived, *record.gone):
        tables.delete(b"meta", _CONDEMNED + pack)
    for pack in record.gone:
        tables.delete(b"packs", pack)
    for pack in record.orphans:
        tables.put(b"meta", _ORPHAN + pack, b"")
    for chunk in record.lost:
        tables.put(b"meta", _LOST + chunk, b"")
    if any((record.superseding, record.condemned, record.gone, record.forgotten, record.orphans, record.lost)):
        tables.put(b"meta", _DELETIONS, number.to_bytes(8, "big"))


def _apply_history(tables: Tables, number: int, record: LogRecord) -> None:
    for move in record.refs:
        if move.new is None:
            tables.delete(b"refs", move.name.encode())
        else:
            tables.put(b"refs", move.name.encode(), move.new)
    brought = {CommitId(ChunkId.of(commit.data)): commit for commit in record.commits}
    # A commit that another record has brought stays in its place: it is listed once.
    ids = [commit for commit in brought if tables.get(b"commits", commit) is None]
    for commit in ids:
        row = CommitRow(number, brought[commit].stored_bytes, brought[commit].data)
        tables.put(b"commits", commit, _encode(row))
    if ids:
        tables.put(b"order", number.to_bytes(8, "big"), b"".join(ids))
    for dropped in record.dropped:
        _drop_commit(tables, dropped)
    _apply_deletions(tables, record)
    _apply_annotations(tables, record.annotated)


def _apply_deletions(tables: Tables, record: LogRecord) -> None:
    for piece in record.deleted:
        tables.put(b"meta", _deleted_key(piece), _encode((piece.part, False)), overwrite=False)
    for piece in record.undeleted:
        tables.delete(b"meta", _deleted_key(piece))
    for piece in record.purged:
        tables.put(b"meta", _deleted_key(piece), _encode((piece.part, True)))


def _apply_annotations(tables: Tables, annotated: Iterable[Annotation]) -> None:
    for note in annotated:
        # A metric's name may be longer than an LMDB key, so its hash stands for it.
        key = _ANNOTATED + note.commit + ChunkId.of(note.name.encode())[:16]
        if note.value is None:
            tables.delete(b"meta", key)
        else:
            tables.put(b"meta", key, _encode((note.name, note.value)))


def _deleted_key(piece: Piece) -> bytes:
    # A part's name may be longer than an LMDB key, so its hash stands for it.
    return _DELETED + piece.commit + (b"" if piece.part is None else ChunkId.of(piece.part.encode())[:16])


def _drop_commit(tables: Tables, commit: bytes) -> None:
    row = tables.get(b"commits", commit)
    if row is None:
        return
    place = _commit_row.decode(row).number.to_bytes(8, "big")
    published = tables.get(b"order", place) or b""
    left = b"".join(published[i : i + 32] for i in range(0, len(published), 32) if published[i : i + 32] != commit)
    tables.delete(b"commits", commit)
    for key, _ in list(View(tables)._marked(_ANNOTATED + commit)):
        tables.delete(b"meta", _ANNOTATED + commit + key)
    if left:
        tables.put(b"order", place, left)
    else:
        tables.delete(b"order", place)
