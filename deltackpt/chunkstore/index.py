"""The index: which chunk lies where, and what refs and commits the log has come to.

A cache of log and packs as of one record. It is caught up on every use, and thrown away and built again
on any doubt. Rows of a record may be applied in several transactions; the record counts as applied only with
the last, and applying it again changes nothing.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import lmdb
import msgspec

from deltackpt.chunkstore.environment import Environment, IndexDamagedError, Tables, shared_environment
from deltackpt.chunkstore.location import Location, inline_pack, locations
from deltackpt.chunkstore.log import LogRecord, Piece, Published
from deltackpt.chunkstore.pack import PackEntry
from deltackpt.chunkstore.record import parse_head
from deltackpt.ids import ChunkId, CommitId, PackId

ROWS_PER_TRANSACTION = 4096
_APPLIED = b"applied"
_STORE = b"store"
_DELETIONS = b"deletions"
_TAIL = b"tail"
_ORPHAN = b"orphan:"
_CONDEMNED = b"condemned:"
_DELETED = b"deleted:"

Progress = Callable[[int, int], None]


class PackRow(msgspec.Struct, frozen=True, array_like=True):
    """A pack of the store: its file size, its number of records, and the log record that added it."""

    size: int
    records: int
    added: int


class CommitRow(msgspec.Struct, frozen=True, array_like=True):
    """A commit: the log record that published it, what it added, and the commit object itself."""

    number: int
    stored_bytes: int
    data: bytes


_pack_row = msgspec.msgpack.Decoder(PackRow)
_commit_row = msgspec.msgpack.Decoder(CommitRow)
_deleted_row = msgspec.msgpack.Decoder(tuple[str | None, bool])
_encode = msgspec.msgpack.encode


@dataclass(frozen=True, slots=True)
class View:
    """What the index says, within one read transaction."""

    tables: Tables

    @property
    def applied(self) -> int:
        """Number of the last log record that is in the index."""
        return int.from_bytes(self.tables.get(b"meta", _APPLIED) or b"", "big")

    def chunk(self, chunk: ChunkId) -> Location | None:
        row = self.tables.get(b"chunks", chunk)
        return None if row is None else Location.from_row(row)

    @property
    def tail(self) -> bytes:
        """The write id of that record: the log may have gone another way since, when it was copied or put back."""
        return self.tables.get(b"meta", _TAIL) or b""

    @property
    def deletions(self) -> int:
        """Number of the last record that condemned packs or declared any gone or orphaned."""
        return int.from_bytes(self.tables.get(b"meta", _DELETIONS) or b"", "big")

    def condemned(self) -> frozenset[PackId]:
        """Packs that a gc has condemned and that are neither revived nor gone."""
        found = []
        for key, _ in self.tables.items(b"meta", _CONDEMNED):
            if not key.startswith(_CONDEMNED):
                break
            found.append(PackId(key[len(_CONDEMNED) :]))
        return frozenset(found)

    def is_orphan(self, pack: PackId) -> bool:
        """Whether a gc has claimed this unpublished pack; it must never be published then."""
        return self.tables.get(b"meta", _ORPHAN + pack) is not None

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
        # A miss looks at every row, which checks them: a name that rotted must not pass for one that is free.
        return self.refs().get(name) if row is None else CommitId(row)

    def refs(self) -> dict[str, CommitId]:
        return {key.decode(): CommitId(row) for key, row in self.tables.items(b"refs")}

    def commit(self, commit: CommitId) -> CommitRow | None:
        row = self.tables.get(b"commits", commit)
        return None if row is None else _commit_row.decode(row)

    def deleted(self, commit: CommitId) -> dict[str | None, bool]:
        """The parts of a commit that were deleted, None standing for all of it, and whether they were purged since."""
        start = _DELETED + commit
        found: dict[str | None, bool] = {}
        for key, row in self.tables.items(b"meta", start):
            if not key.startswith(start):
                break
            part, purged = _deleted_row.decode(row)
            found[part] = purged
        return found

    def commits_with_prefix(self, prefix: bytes) -> Iterator[CommitId]:
        for key, _ in self.tables.items(b"commits", prefix):
            if not key.startswith(prefix):
                return
            yield CommitId(key)

    def order(self) -> list[CommitId]:
        """Every commit, in the order of publishing."""
        return [CommitId(row[i : i + 32]) for _, row in self.tables.items(b"order") for i in range(0, len(row), 32)]

    def newest(self) -> CommitId | None:
        last = self.tables.last(b"order")
        return CommitId(last[1][-32:]) if last else None


class Index:
    """The index of the store called ``store_id``, in ``folder``."""

    def __init__(self, folder: str, store_id: bytes) -> None:
        self._folder = os.path.realpath(folder)
        self._store_id = store_id

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

    @contextmanager
    def updating(self) -> Iterator[Update]:
        """The exclusive right to change the index; everybody else waits, so be brief."""
        environment = self._environment
        with environment.lock.exclusive():
            yield Update(environment)

    @contextmanager
    def renewing(self, damaged: int | None = None) -> Iterator[Update | None]:
        """:meth:`updating` of an empty index in the place of whatever is there.

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
            yield Update(environment)


@dataclass(frozen=True, slots=True)
class Update:
    """Applies log records under the exclusive lock."""

    environment: Environment

    @property
    def applied(self) -> int:
        with self.environment.writing() as tables:
            return View(tables).applied

    def apply(self, published: Published, packs: Mapping[PackId, Sequence[PackEntry]]) -> None:
        """Bring one record in.

        ``packs`` holds the entries of the packs that it adds or declares gone, as far as their files exist.
        """
        record = published.record
        put = partial(_put_rows, replaceable=frozenset(record.condemned))
        lost = [row for pack in map(PackId, record.gone) for row in self._rows_of(pack, packs.get(pack))]
        lost += [(chunk, b"") for chunk in record.forgotten]
        batches = [*_batches(_chunk_rows(published, packs), put), *_batches(lost, _remove_rows)]
        # Each transaction waits for the disk, so the last batch, which is mostly the only one, goes with the facts.
        for batch in batches[:-1]:
            self._write([batch])
        self._write([*batches[-1:], lambda tables: _apply_facts(tables, published)])

    def _rows_of(self, pack: PackId, entries: Sequence[PackEntry] | None) -> list[tuple[bytes, bytes]]:
        """Rows that still point into ``pack``: what a gone pack takes with it.

        Without its entries (the file was unlinked before this index heard of it) every row is looked at.
        """
        with self.environment.writing() as tables:
            if entries is None:
                return [(key, row) for key, row in tables.items(b"chunks") if row[:16] == pack]
            ids = [member.id for entry in entries for member in entry.head.members]
            found = ((chunk, tables.get(b"chunks", chunk)) for chunk in ids)
            return [(bytes(chunk), row) for chunk, row in found if row is not None and row[:16] == pack]

    def _write(self, changes: Sequence[Callable[[Tables], None]]) -> None:
        """Make ``changes`` in a transaction of their own, again with a larger map when it was full."""
        while True:
            try:
                with self.environment.writing() as tables:
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
            (chunk, at.pack_row()) for chunk, at in locations(inline_pack(published.number), entry.offset, entry.head)
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


def _put_rows(rows: list[_Row], tables: Tables, replaceable: frozenset[bytes]) -> None:
    """The first published copy stays in use, unless this very record condemns the pack that holds it."""
    for key, row in rows:
        present = tables.get(b"chunks", key) if replaceable else None
        tables.put(b"chunks", key, row, overwrite=present is not None and present[:16] in replaceable)


def _remove_rows(rows: list[_Row], tables: Tables) -> None:
    for key, _ in rows:
        tables.delete(b"chunks", key)


def _apply_facts(tables: Tables, published: Published) -> None:
    _apply_packs(tables, published.number, published.record)
    _apply_history(tables, published.number, published.record)
    tables.put(b"meta", _APPLIED, published.number.to_bytes(8, "big"))
    tables.put(b"meta", _TAIL, published.record.write_id)


def _apply_packs(tables: Tables, number: int, record: LogRecord) -> None:
    for added in record.packs:
        tables.put(b"packs", added.id, _encode(PackRow(added.size, added.records, number)), overwrite=False)
    for pack in record.condemned:
        tables.put(b"meta", _CONDEMNED + pack, number.to_bytes(8, "big"))
    for pack in (*record.revived, *record.gone):
        tables.delete(b"meta", _CONDEMNED + pack)
    for pack in record.gone:
        tables.delete(b"packs", pack)
    for pack in record.orphans:
        tables.put(b"meta", _ORPHAN + pack, b"")
    if record.condemned or record.gone or record.orphans:
        tables.put(b"meta", _DELETIONS, number.to_bytes(8, "big"))


def _apply_history(tables: Tables, number: int, record: LogRecord) -> None:
    for move in record.refs:
        if move.new is None:
            tables.delete(b"refs", move.name.encode())
        else:
            tables.put(b"refs", move.name.encode(), move.new)
    ids = [CommitId(ChunkId.of(commit.data)) for commit in record.commits]
    for commit_id, commit in zip(ids, record.commits, strict=True):
        tables.put(b"commits", commit_id, _encode(CommitRow(number, commit.stored_bytes, commit.data)), overwrite=False)
    for dropped in record.dropped:
        _drop_commit(tables, dropped)
    _apply_deletions(tables, record)
    if ids:
        tables.put(b"order", number.to_bytes(8, "big"), b"".join(ids))


def _apply_deletions(tables: Tables, record: LogRecord) -> None:
    for piece in record.deleted:
        tables.put(b"meta", _deleted_key(piece), _encode((piece.part, False)), overwrite=False)
    for piece in record.undeleted:
        tables.delete(b"meta", _deleted_key(piece))
    for piece in record.purged:
        tables.put(b"meta", _deleted_key(piece), _encode((piece.part, True)))


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
    if left:
        tables.put(b"order", place, left)
    else:
        tables.delete(b"order", place)
