"""Bringing the index up to date, one log record after another, each in short transactions.

A record that takes packs away marks them, and their rows count for nothing from then on. The rows themselves lie all
over the index, and LMDB writes a page for nearly each: removed with the record, those of a few thousand chunks would
keep a save waiting. They go later, in the order of their keys, when there are many.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TypeVar

import lmdb

from deltackpt.chunkstore.applying import apply_facts, chunk_rows, forget_packs, put_rows, remove_rows, sweep_rows
from deltackpt.chunkstore.environment import Environment
from deltackpt.chunkstore.log_record import Position, Published
from deltackpt.chunkstore.pack import PackEntry
from deltackpt.chunkstore.tables import Tables
from deltackpt.chunkstore.view import View
from deltackpt.ids import PackId

ROWS_PER_TRANSACTION = 4096
# What nobody waits for, and should keep nobody waiting.
ROWS_IN_PASSING = 1024
# The part of the rows that must be of packs that are gone before all are looked at for that.
_WORTH_SWEEPING = 0.1

T = TypeVar("T")
Change = Callable[[Tables], None]


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

        ``packs`` holds the entries of the packs that it adds, as far as their files exist.
        """
        record = published.record
        put = partial(put_rows, takes_over=record.superseding)
        rows = sorted(chunk_rows(published, packs), key=itemgetter(0))
        leaving = sorted((*record.forgotten, *record.lost))
        changes = [partial(put, batch) for batch in _batches(rows)]
        changes += [partial(remove_rows, batch) for batch in _batches(leaving)]
        # Each transaction waits for the disk, so the last change, which is mostly the only one, goes with the facts.
        for change in changes[:-1]:
            self._write(published.number, [change])
        self._write(published.number, [*changes[-1:], lambda tables: apply_facts(tables, published, packs)])

    def sweep(self, chunks: int) -> None:
        """Remove the rows of packs that are gone when, beside those of the ``chunks`` of the store, there are many.

        Others have their turns meanwhile. What an interrupted one leaves is left to the next.
        """
        with self.environment.reading() as tables:
            leaving, rows = View(tables).leaving(), tables.entries(b"chunks")
        if not leaving or rows - chunks + len(leaving) < rows * _WORTH_SWEEPING:
            return
        start: bytes | None = b""
        while start is not None:
            start = self._rested(partial(sweep_rows, leaving=leaving, start=start, most=ROWS_IN_PASSING))
        for batch in _batches(sorted(leaving), ROWS_IN_PASSING):
            self._rested(partial(forget_packs, batch))

    def _rested(self, change: Callable[[Tables], T]) -> T:
        """Make a change that nobody waits for, then leave the index to others for as long."""
        began = time.monotonic()
        done = self._transact(change)
        with contextlib.suppress(OSError):
            time.sleep(time.monotonic() - began)
        return done

    def _write(self, number: int, changes: Sequence[Change]) -> None:
        """Make ``changes``, part of record ``number``, in a transaction."""

        def change(tables: Tables) -> None:
            if View(tables).applied != number - 1:
                raise OvertakenError
            for each in changes:
                each(tables)

        self._transact(change)

    def _transact(self, change: Callable[[Tables], T]) -> T:
        """What ``change`` gives, made in a transaction, again with a larger map when it was full."""
        while True:
            with self.turn():
                try:
                    with self.environment.writing() as tables:
                        return change(tables)
                except lmdb.MapFullError:
                    self.environment.grow()


def _batches(rows: Iterable[T], most: int = ROWS_PER_TRANSACTION) -> Iterator[list[T]]:
    """Some thousand at a time; in key order, which LMDB likes best."""
    following = iter(rows)
    while batch := list(itertools.islice(following, most)):
        yield batch
