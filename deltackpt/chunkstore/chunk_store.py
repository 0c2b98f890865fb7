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

from deltackpt.chunkstore.applying import inline_entries
from deltackpt.chunkstore.environments import join, leave
from deltackpt.chunkstore.facts import NotAStoreError, StoreFacts, read_facts
from deltackpt.chunkstore.index import Index, Progress
from deltackpt.chunkstore.index_folder import index_folder
from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.location import inline_record
from deltackpt.chunkstore.log import Log
from deltackpt.chunkstore.log_record import LogCorruptError, Position, Published
from deltackpt.chunkstore.pack import PackCorruptError, PackEntry, read_entries
from deltackpt.chunkstore.past import past
from deltackpt.chunkstore.reserve import despite_full_disk
from deltackpt.chunkstore.tables import IndexDamagedError
from deltackpt.chunkstore.update import OvertakenError, Update
from deltackpt.chunkstore.view import View
from deltackpt.errors import CorruptError, DeltackptError, StorageError, UnsupportedError
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
        self.log = Log(self.disk, self.layout, self.facts.first_epoch)
        self._progress = progress
        self.writable = os.access(self.layout.log, os.W_OK)
        self.index = Index(index_folder(self.layout, self.facts.key), self.facts.key, self.log.start)
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
        if self.log.has_news(self.look(lambda view: view.position)):
            self._update({})

    def follow(self, entries: Entries) -> None:
        """Apply the log's new records, among them one that was just published, with these packs."""
        self._update(entries)

    def rebuild(self, damaged: int | None = None) -> None:
        """Build the index again from log and packs, unless the one with the inode ``damaged`` is not there any more."""
        self._check_folder()
        os.makedirs(os.path.dirname(self.index.folder), exist_ok=True)

        def renew() -> None:
            with self.index.renewing(damaged, past(self.disk, self.layout)) as update:
                if update is not None:
                    self._apply_new(update, {}, self._progress)

        try:
            self.despite_full_disk(renew)
        except IndexDamagedError as damage:
            raise self._no_index(damage) from damage

    def doubt(self) -> None:
        """Something that must be in the index is not: build it again, once. What is missing then is gone."""
        with self._doubting:
            if not self._doubted:
                self._doubted = True
                self.rebuild()

    def despite_full_disk(self, action: Callable[[], T]) -> T:
        """What ``action``, which deletes or follows the log, gives; on a full disk with the help of the reserve."""
        return despite_full_disk(self.disk, self.layout, self.facts.reserve_bytes, action)

    def _update(self, entries: Entries) -> None:
        try:
            self.despite_full_disk(lambda: self._apply_new(self.index.update(), entries, _no_progress))
        except IndexDamagedError as damage:
            self.rebuild(damage.inode)

    def _apply_new(self, update: Update, entries: Entries, progress: Progress) -> None:
        """Apply what the index lacks. Nothing stands in the index that a power loss could still take out of the log."""
        while True:
            try:
                self._apply(update, update.position, entries, progress)
                return
            except OvertakenError:
                continue

    def _apply(self, update: Update, known: Position, entries: Entries, progress: Progress) -> None:
        total = self.log.length() if progress is not _no_progress else 0
        for published in self.log.after(known, settled=self.writable):
            update.apply(published, self._entries(published, entries))
            progress(published.number, total)

    def _no_index(self, damage: IndexDamagedError) -> StorageError:
        return StorageError(f"the index in {self.index.folder!r} cannot be kept ({damage}); check that disk")

    def _entries(self, published: Published, known: Entries) -> dict[PackId, Sequence[PackEntry]]:
        """Entries of the packs that a record adds, as far as they can be read.

        A pack that a later record declares gone has no file any more; one that is lost or damaged costs its own
        chunks only, and reading one of those says so.
        """
        found: dict[PackId, Sequence[PackEntry]] = {}
        for pack in (PackId(added.id) for added in published.record.packs):
            if pack in known:
                found[pack] = known[pack]
                continue
            with contextlib.suppress(FileNotFoundError, PackCorruptError, UnsupportedError):
                found[pack] = self.entries(pack)
        return found

    def entries(self, pack: PackId) -> Sequence[PackEntry]:
        """What a pack holds, or the inline bytes that it stands for; FileNotFoundError when they are gone."""
        inline = inline_record(pack)
        if inline is None:
            return read_entries(self.disk, self.layout.pack(pack), pack)
        published = self.log.read(inline.epoch, inline.number)
        if published is None:
            raise FileNotFoundError(self.layout.record(inline.epoch, inline.number))
        return list(inline_entries(published))

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
        position, tail, known = self.look(lambda view: (view.position, view.tail, view.past))
        # First of all the tail: what ends before it, and can be read to there, has lost a record that the index knows.
        same = not position.number or self.is_tail(position, tail)
        if not same or (known != past(self.disk, self.layout) and self._is_legible()):
            self.rebuild()
            position = self.look(lambda view: view.position)
        self.log.check(position)

    def _is_legible(self) -> bool:
        """Whether the log can be read to its end. While it cannot, an index may know what a repair has still to ask."""
        try:
            return all(published.number for published in self.log.every())
        except DeltackptError:
            return False

    def is_tail(self, position: Position, write_id: bytes) -> bool:
        """Whether the record before ``position`` is the one that the index knows; a damaged one is verify's affair."""
        try:
            published = self.log.find(position)
        except (CorruptError, UnsupportedError):
            return True
        if published is None:
            path = self.layout.record(position.epoch, position.number)
            raise LogCorruptError(
                f"log record {position.number} ({path}): missing, though the index has seen it;"
                " run `deltackpt repair`, or restore this file from a copy of the store"
            )
        return published.record.write_id == write_id
