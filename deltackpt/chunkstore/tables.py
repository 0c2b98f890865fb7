"""The tables of the index within one transaction. Every value carries a checksum: LMDB has none of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import lmdb
import xxhash

TABLES = (b"meta", b"chunks", b"packs", b"commits", b"order", b"refs")
_CHECK = 4


class IndexDamagedError(Exception):
    """The index cannot be trusted; the one with this inode must be replaced. Never leaves the package."""

    def __init__(self, reason: str, inode: int = 0) -> None:
        super().__init__(reason)
        self.inode = inode


def _check_bytes(key: bytes, value: bytes) -> bytes:
    return xxhash.xxh3_64_digest(key + value)[:_CHECK]


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables within one transaction; values are checked on the way in and out."""

    txn: lmdb.Transaction
    handles: dict[bytes, lmdb._Database]

    def get(self, table: bytes, key: bytes) -> bytes | None:
        raw = self.txn.get(key, db=self.handles[table])
        return None if raw is None else self._checked(key, bytes(raw))

    def put(self, table: bytes, key: bytes, value: bytes, *, overwrite: bool = True) -> bool:
        """Whether it was put: without ``overwrite`` a row that is there stays."""
        return self.txn.put(key, value + _check_bytes(key, value), db=self.handles[table], overwrite=overwrite)

    def delete(self, table: bytes, key: bytes) -> None:
        self.txn.delete(key, db=self.handles[table])

    def items(self, table: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Rows from ``start`` on, in key order."""
        with self.txn.cursor(db=self.handles[table]) as cursor:
            if cursor.set_range(start):
                for key, raw in cursor:
                    yield bytes(key), self._checked(bytes(key), bytes(raw))

    def all(self, table: bytes) -> list[tuple[bytes, bytes]]:
        """Every row. IndexDamagedError when there are not as many as the table says, which no checksum tells."""
        rows = list(self.items(table))
        self._require_as_many(table, len(rows))
        return rows

    def count(self, table: bytes) -> int:
        """How many rows there are, each looked at. IndexDamagedError as of :meth:`all`."""
        found = sum(1 for _ in self.items(table))
        self._require_as_many(table, found)
        return found

    def _require_as_many(self, table: bytes, found: int) -> None:
        if found != self.entries(table):
            raise IndexDamagedError(f"of {self.entries(table)} rows of {table.decode()} {found} are there")

    def entries(self, table: bytes) -> int:
        """How many rows the table says it has."""
        return int(self.txn.stat(self.handles[table])["entries"])

    def last(self, table: bytes) -> tuple[bytes, bytes] | None:
        with self.txn.cursor(db=self.handles[table]) as cursor:
            if not cursor.last():
                return None
            key = bytes(cursor.key())
            return key, self._checked(key, bytes(cursor.value()))

    @staticmethod
    def _checked(key: bytes, raw: bytes) -> bytes:
        value = raw[:-_CHECK]
        if raw[-_CHECK:] != _check_bytes(key, value):
            raise IndexDamagedError(f"row {key.hex()} fails its checksum")
        return value
