"""Bringing the index up to date, one log record after another, each in short transactions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import lmdb

from deltackpt.chunkstore.applying import Row, apply_facts, chunk_rows, is_listed, put_rows, remove_rows
from deltackpt.chunkstore.environment import Environment
from deltackpt.chunkstore.log_record import Position, Published
from deltackpt.chunkstore.pack import PackEntry
from deltackpt.chunkstore.tables import Tables
from deltackpt.chunkstore.view import View
from deltackpt.ids import PackId

ROWS_PER_TRANSACTION = 4096


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
        put = partial(put_rows, takes_over=record.superseding)
        named = ((chunk, b"") for chunk in (*record.forgotten, *record.lost))
        leaving = [*self._rows_of(record.gone, packs), *named]
        batches = [*_batches(chunk_rows(published, packs), put), *_batches(leaving, remove_rows)]
        # Each transaction waits for the disk, so the last batch, which is mostly the only one, goes with the facts.
        for batch in batches[:-1]:
            self._write(published.number, [batch])
        self._write(published.number, [*batches[-1:], lambda tables: apply_facts(tables, published, packs)])

    def _rows_of(self, gone: Iterable[bytes], packs: Mapping[PackId, Sequence[PackEntry]]) -> Iterator[Row]:
        """Chunks whose rows may still point into ``gone`` packs, and go with them if they do; each with its pack.

        Where entries are not known (a file was unlinked before this index heard of it) every row is looked at.
        """
        unknown = []
        for pack in map(PackId, gone):
            if pack in packs:
                yield from ((member.id, pack) for entry in packs[pack] for member in entry.head.members)
            else:
                unknown.append(pack)
        if listed := self._listed(unknown):
            yield from self._all_pointing_into(listed)

    def _listed(self, packs: Sequence[PackId]) -> frozenset[bytes]:
        """Those of ``packs`` into which rows may point."""
        if not packs:
            return frozenset()
        with self.turn(), self.environment.writing() as tables:
            return frozenset(pack for pack in packs if is_listed(tables, pack))

    def _all_pointing_into(self, packs: frozenset[bytes]) -> Iterator[Row]:
        start = b""
        while True:
            with self.turn(), self.environment.writing() as tables:
                rows = list(itertools.islice(tables.items(b"chunks", start), ROWS_PER_TRANSACTION))
            yield from ((chunk, row[: PackId.size]) for chunk, row in rows if row[: PackId.size] in packs)
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


def _batches(rows: Iterable[Row], change: Callable[[list[Row], Tables], None]) -> Iterator[Callable[[Tables], None]]:
    """``change`` of some thousand rows at a time, in key order, which LMDB likes best; equal keys keep their order."""
    ordered = iter(sorted(rows, key=itemgetter(0)))
    while batch := list(itertools.islice(ordered, ROWS_PER_TRANSACTION)):
        yield partial(change, batch)
