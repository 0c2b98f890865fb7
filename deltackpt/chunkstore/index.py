"""The index: which chunk lies where, and what refs and commits the log has come to.

A cache of log and packs as of one record. It is caught up on every use, and thrown away and built again
on any doubt. Rows of a record may be applied in several transactions; the record counts as applied only with
the last, and applying it again changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from deltackpt.chunkstore.environment import Environment
from deltackpt.chunkstore.environments import shared_environment
from deltackpt.chunkstore.log_record import Position
from deltackpt.chunkstore.rows import EPOCH, PAST, STORE
from deltackpt.chunkstore.tables import IndexDamagedError
from deltackpt.chunkstore.update import Update
from deltackpt.chunkstore.view import View

Progress = Callable[[int, int], None]


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
            if tables.get(b"meta", STORE) != self._store_id:
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
                tables.put(b"meta", STORE, self._store_id)
                tables.put(b"meta", EPOCH, self._start.epoch)
                tables.put(b"meta", PAST, past)
            yield Update(environment, nullcontext)
