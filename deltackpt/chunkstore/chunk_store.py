"""The chunk store: packs, log and index of one folder, opened together.

Nothing here is kept between calls but open files: every question starts by catching the index up with the
log, so any number of handles, threads, processes and hosts see the same store.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from deltackpt.chunkstore.environment import IndexDamagedError, join, leave
from deltackpt.chunkstore.facts import NotAStoreError, StoreFacts, read_facts
from deltackpt.chunkstore.index import Index, Progress, Update, View
from deltackpt.chunkstore.index_folder import index_folder
from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.log import Log, LogCorruptError, Published
from deltackpt.chunkstore.pack import PackCorruptError, PackEntry, read_entries
from deltackpt.errors import CorruptError, StorageError, UnsupportedError
from deltackpt.fs.disk import Disk
from deltackpt.ids import PackId

T = TypeVar("T")
Entries = Mapping[PackId, Sequence[PackEntry]]


def _no_progress(done: int, total: int) -> None:
    """Nobody watches."""


class ChunkStore:
    """An open store. ``progress`` hears (records done, records in all) while a lost index is built again.

    The index lives inside the store, or on this machine where that cannot be (see ``index_folder.py``).
    """

    def __init__(self, root: str, disk: Disk | None = None, progress: Progress = _no_progress) -> None:
        self.disk = disk or Disk()
        self.layout = Layout(os.path.abspath(root))
        self.facts: StoreFacts = read_facts(self.disk, self.layout)
        self.log = Log(self.disk, self.layout)
        self._progress = progress
        self.writable = os.access(self.layout.log, os.W_OK)
        self.index = Index(index_folder(self.layout, self.facts.key), self.facts.key)
        join(self.index.folder, self)
        self._doubting = threading.Lock()
        self._doubted = False
        try:
            self._check_log()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give back the files of the index, unless others in this process use it. The next look opens them again."""
        leave(self.index.folder, self)

    def look(self, question: Callable[[View], T]) -> T:
        """Answer ``question`` from the index as it is; a damaged index is built again first.

        ``question`` must not look at the store itself.
        """
        try:
            with self.index.view() as view:
                return question(view)
        except IndexDamagedError as damage:
            self.rebuild(damage.inode)
        try:
            with self.index.view() as view:
                return question(view)
        except IndexDamagedError as damage:
            raise self._no_index(damage) from damage

    def look_now(self, question: Callable[[View], T]) -> T:
        """Answer ``question`` as of the last record in the log."""
        self.catch_up()
        return self.look(question)

    def catch_up(self) -> None:
        """Apply the log's new records to the index."""
        applied = self.look(lambda view: view.applied)
        if self.disk.exists(self.layout.record(applied + 1)):
            self._update(lambda update: self._apply_new(update))

    def follow(self, number: int, entries: Entries) -> None:
        """Apply the log up to record ``number``, which was just published and made durable, with these packs."""
        self._update(lambda update: self._apply(update, number, entries))

    def rebuild(self, damaged: int | None = None) -> None:
        """Build the index again from log and packs, unless the one with the inode ``damaged`` is not there any more."""
        self._check_folder()
        os.makedirs(os.path.dirname(self.index.folder), exist_ok=True)
        total = len(self.log.numbers())
        try:
            with self.index.renewing(damaged) as update:
                if update is not None:
                    self._apply_new(update, lambda number: self._progress(number, total))
        except IndexDamagedError as damage:
            raise self._no_index(damage) from damage

    def doubt(self) -> None:
        """Something that must be in the index is not: build it again, once. What is missing then is gone."""
        with self._doubting:
            if not self._doubted:
                self._doubted = True
                self.rebuild()

    def _update(self, change: Callable[[Update], None]) -> None:
        try:
            with self.index.updating() as update:
                change(update)
        except IndexDamagedError as damage:
            self.rebuild(damage.inode)

    def _apply_new(self, update: Update, heard: Callable[[int], None] = lambda number: None) -> None:
        """Apply what the index lacks. Nothing stands in the index that a power loss could still take out of the log."""
        known = update.applied
        self._apply(update, self.log.settle(known) if self.writable else None, {}, heard)

    def _apply(
        self,
        update: Update,
        last: int | None,
        entries: Entries,
        heard: Callable[[int], None] = lambda number: None,
    ) -> None:
        for published in self.log.since(update.applied, last):
            update.apply(published, self._entries(published, entries))
            heard(published.number)

    def _no_index(self, damage: IndexDamagedError) -> StorageError:
        return StorageError(f"the index in {self.index.folder!r} cannot be kept ({damage}); check that disk")

    def _entries(self, published: Published, known: Entries) -> dict[PackId, Sequence[PackEntry]]:
        found: dict[PackId, Sequence[PackEntry]] = {}
        for pack in (*(PackId(added.id) for added in published.record.packs), *map(PackId, published.record.gone)):
            if pack in known:
                found[pack] = known[pack]
                continue
            # A pack that a later record declares gone has no file any more; one that is lost or damaged costs its
            # own chunks only, and reading one of those says so.
            with contextlib.suppress(FileNotFoundError, PackCorruptError, UnsupportedError):
                found[pack] = read_entries(self.disk, self.layout.pack(pack), pack)
        return found

    def _check_folder(self) -> None:
        """An index of nothing must not be taken for an empty store."""
        if not self.disk.exists(self.layout.facts):
            raise NotAStoreError(f"{self.layout.root!r} is no store any more; open it where it was moved to")
        if not self.disk.exists(self.layout.log):
            raise LogCorruptError(
                f"folder {self.layout.log!r} is missing, and with it all commits; restore it from a copy of the store"
            )

    def _check_log(self) -> None:
        self._check_folder()
        self.log.numbers()
        applied, tail = self.look(lambda view: (view.applied, view.tail))
        path = self.layout.record(applied)
        if applied and not self.disk.exists(path):
            raise LogCorruptError(
                f"log record {applied} ({path}): missing, though the index has seen it;"
                " restore this file from a copy of the store"
            )
        if applied and not self._is_tail(applied, tail):
            self.rebuild()

    def _is_tail(self, number: int, write_id: bytes) -> bool:
        """Whether the log's record ``number`` is the one that the index knows; a damaged one is verify's affair."""
        try:
            published = self.log.read(number)
        except (CorruptError, UnsupportedError):
            return True
        return published is not None and published.record.write_id == write_id
