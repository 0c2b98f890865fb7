"""Looking into the index, within one read transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deltackpt.chunkstore.location import Location
from deltackpt.chunkstore.log_record import Position
from deltackpt.chunkstore.rows import (
    ANNOTATED,
    APPLIED,
    CONDEMNED,
    DELETED,
    DELETIONS,
    EPOCH,
    LEAVING,
    LOST,
    OPENED,
    ORPHAN,
    PAST,
    TAIL,
    CommitRow,
    PackRow,
    decode_annotated,
    decode_commit,
    decode_deleted,
    decode_pack,
)
from deltackpt.chunkstore.tables import IndexDamagedError, Tables
from deltackpt.ids import ChunkId, CommitId, EpochId, PackId


@dataclass(frozen=True, slots=True)
class View:
    """What the index says, within one read transaction."""

    tables: Tables

    @property
    def applied(self) -> int:
        """Number of the last log record that is in the index."""
        return self._number(APPLIED)

    @property
    def position(self) -> Position:
        """The place in the log after that record."""
        return Position(self.applied, EpochId(self.tables.get(b"meta", EPOCH) or bytes(EpochId.size)))

    @property
    def epoch_length(self) -> int:
        """How many records the epoch holds in which the next record stands."""
        return self.applied - self._number(OPENED)

    def chunk(self, chunk: ChunkId) -> Location | None:
        row = self._row(chunk)
        return None if row is None else Location.from_row(row)

    def pack_of(self, chunk: ChunkId) -> PackId | None:
        """The pack of the copy in use: a small part of what :meth:`chunk` tells, in a small part of the time."""
        row = self._row(chunk)
        return None if row is None else PackId(row[: PackId.size])

    def _row(self, chunk: ChunkId) -> bytes | None:
        row = self.tables.get(b"chunks", chunk)
        if row is None or self.tables.get(b"meta", LEAVING + row[: PackId.size]) is not None:
            return None
        return row

    def leaving(self) -> frozenset[bytes]:
        """Packs that are gone although chunks may still have rows there, which count for nothing."""
        return frozenset(key for key, _ in self.marked(LEAVING))

    @property
    def tail(self) -> bytes:
        """The write id of that record: the log may have gone another way since, when it was copied or put back."""
        return self.tables.get(b"meta", TAIL) or b""

    @property
    def past(self) -> bytes:
        """Which past the index was built from; see ``past.py``."""
        return self.tables.get(b"meta", PAST) or b""

    @property
    def deletions(self) -> int:
        """Number of the last record that took anything away, or put another copy of a chunk in use.

        While it stays the same so does the row of every chunk that has one.
        """
        return self._number(DELETIONS)

    def _number(self, key: bytes) -> int:
        return int.from_bytes(self.tables.get(b"meta", key) or b"", "big")

    def condemned(self) -> frozenset[PackId]:
        """Packs that a gc has condemned and that are neither revived nor gone."""
        return frozenset(PackId(key) for key, _ in self.marked(CONDEMNED))

    def is_orphan(self, pack: PackId) -> bool:
        """Whether a gc has claimed this unpublished pack; it must never be published then."""
        return self.tables.get(b"meta", ORPHAN + pack) is not None

    def orphans(self) -> frozenset[PackId]:
        """Every unpublished pack that a gc has claimed."""
        return frozenset(PackId(key) for key, _ in self.marked(ORPHAN))

    def is_lost(self, chunk: ChunkId) -> bool:
        """Whether a repair has declared the chunk lost, and no record has brought it since."""
        return self.tables.get(b"meta", LOST + chunk) is not None

    def lost(self) -> frozenset[ChunkId]:
        """Every chunk that is declared lost."""
        return frozenset(ChunkId(key) for key, _ in self.marked(LOST))

    def marked(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows of ``meta`` whose keys begin with ``prefix``; the keys without it."""
        for key, row in self.tables.items(b"meta", prefix):
            if not key.startswith(prefix):
                return
            yield key[len(prefix) :], row

    def chunks(self) -> Iterator[tuple[ChunkId, Location]]:
        for key, row in self.chunk_rows():
            yield ChunkId(key), Location.from_row(row)

    def chunk_rows(self, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Chunks from ``start`` on with their rows, as they are kept."""
        leaving = self.leaving()
        return (row for row in self.tables.items(b"chunks", start) if row[1][: PackId.size] not in leaving)

    def pack(self, pack: PackId) -> PackRow | None:
        row = self.tables.get(b"packs", pack)
        return None if row is None else decode_pack(row)

    def packs(self) -> dict[PackId, PackRow]:
        return {PackId(key): decode_pack(row) for key, row in self.tables.items(b"packs")}

    def ref(self, name: str) -> CommitId | None:
        row = self.tables.get(b"refs", name.encode())
        # A miss looks at every row, which checks them: a name that is damaged must not pass for one that is free.
        return self.refs().get(name) if row is None else CommitId(row)

    def refs(self) -> dict[str, CommitId]:
        return {key.decode(): CommitId(row) for key, row in self.tables.all(b"refs")}

    def commit(self, commit: CommitId) -> CommitRow | None:
        row = self.tables.get(b"commits", commit)
        return None if row is None else decode_commit(row)

    def deleted(self, commit: CommitId) -> dict[str | None, bool]:
        """The parts of a commit that were deleted, None standing for all of it, and whether they were purged since."""
        return dict(decode_deleted(row) for _, row in self.marked(DELETED + commit))

    def annotations(self, commit: CommitId) -> dict[str, float]:
        """Metrics of a commit that were found after it was made."""
        return dict(decode_annotated(row) for _, row in self.marked(ANNOTATED + commit))

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
