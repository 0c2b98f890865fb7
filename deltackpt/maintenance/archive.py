"""Archiving the log: what a long history costs is a few files, not a file for each record.

1. *Seal* the epoch that has grown long: its last record names the folder of the next one.
2. *Relocate* what travelled inline in its records to packs: condemned with copies, then gone, as a gc does it with
   packs. A gc copies only what lives; where none is run, everything is copied.
3. *Archive* it: its records, without inline bytes, go to one segment; then its folder goes.

Each step may be interrupted, be done by several at once, and is taken up where it was left. As with gc, what is deleted
is decided from the log, never from the index.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from deltackpt.chunkstore.applying import inline_entries
from deltackpt.chunkstore.location import inline_pack
from deltackpt.chunkstore.log import Log
from deltackpt.chunkstore.log_record import Position, Published
from deltackpt.chunkstore.record import RecordHead, check
from deltackpt.chunkstore.transaction import Decision, StaleTransactionError, Transaction
from deltackpt.chunkstore.view import View
from deltackpt.errors import DeltackptError
from deltackpt.history.repository import Repository
from deltackpt.ids import EpochId, PackId
from deltackpt.maintenance.abreast import publish_abreast

_log = logging.getLogger("deltackpt")

# A gc archives an epoch from so many records on, a commit by itself only where nobody runs gc.
EPOCH_RECORDS = 1000
EPOCH_RECORDS_WITHOUT_GC = 4000


@dataclass(slots=True)
class Unarchived:
    """The part of the log that still stands in folders: epochs with their records, oldest first, as of ``position``.

    ``needed`` are the records whose inline bytes no later record declares gone.
    """

    log: Log
    position: Position = field(init=False)
    epochs: list[list[Published]] = field(init=False)
    needed: dict[PackId, Published] = field(init=False)
    condemned: set[PackId] = field(init=False)

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> Position:
        """Read it anew, durably; returns how far it goes."""
        start = self.log.archived()
        records = list(self.log.after(start, settled=True))
        self.position = records[-1].position if records else start
        self.epochs = [list(group) for _, group in groupby(records, key=lambda published: published.epoch)]
        self.needed = {inline_pack(p.epoch, p.number): p for p in records if p.inline}
        self.condemned = set()
        for published in records:
            self._take(published)
        return self.position

    def _take(self, published: Published) -> None:
        record = published.record
        self.condemned |= set(map(PackId, record.condemned))
        self.condemned -= set(map(PackId, (*record.revived, *record.gone)))
        for pack in map(PackId, record.gone):
            self.needed.pop(pack, None)

    @property
    def sealed(self) -> list[list[Published]]:
        """The epochs that have ended."""
        return [records for records in self.epochs if records[-1].record.sealed]

    def inline(self) -> dict[PackId, Published]:
        """Inline bytes of sealed epochs that are not gone."""
        ended = {records[0].epoch for records in self.sealed}
        return {pack: published for pack, published in self.needed.items() if published.epoch in ended}


def archive_when_long(repository: Repository) -> None:
    """Archive the log if it has grown long although no gc was run; what cannot be done now is left for later.

    It comes after a commit that is published: what fails now must not look like a commit that was not made.
    """
    try:
        if repository.chunks.look(lambda view: view.epoch_length) >= EPOCH_RECORDS_WITHOUT_GC:
            seal(repository, EPOCH_RECORDS_WITHOUT_GC)
            relocate(repository)
            archive_sealed(repository)
    except (StaleTransactionError, FileNotFoundError):
        return
    except DeltackptError as error:
        _log.warning("the log could not be archived: %s", error)


def seal(repository: Repository, least: int) -> None:
    """End the log's epoch if it holds at least so many records."""
    chunks = repository.chunks
    following = EpochId.new()
    # Before the record that names it, or a writer might find no folder there.
    chunks.disk.make_directory(chunks.layout.epoch(following))
    chunks.disk.sync_directory(chunks.layout.log)

    def decide(view: View) -> Decision:
        if view.epoch_length < least:
            raise StaleTransactionError("somebody else has sealed the epoch")
        return Decision("seal", sealed=following)

    try:
        with Transaction(chunks, repository.reader) as transaction:
            transaction.publish(decide)
    except StaleTransactionError:
        chunks.disk.remove_directory(chunks.layout.epoch(following))


def relocate(repository: Repository) -> None:
    """Copy the inline bytes of sealed epochs to packs, and declare them gone where they stood."""
    tail = Unarchived(repository.chunks.log)
    copied = {pack: published for pack, published in tail.inline().items() if pack not in tail.condemned}
    if copied:
        chunks, reader = repository.chunks, repository.reader
        with Transaction(chunks, reader, inline_limit=0, copying=True, planned=True) as transaction:
            # Of several copies of a chunk the last is used: a rank must not rise.
            for head, payload in sorted(_records(copied.values()), key=lambda record: -record[0].rank):
                transaction.put(head, [payload])
            publish_abreast(transaction, tail.look, lambda: Decision("relocate", condemned=_some(copied, tail.needed)))
    with Transaction(repository.chunks, repository.reader) as transaction:
        publish_abreast(
            transaction, tail.look, lambda: Decision("relocated", gone=_some(tail.inline(), tail.condemned))
        )


def archive_sealed(repository: Repository) -> None:
    """Archive every sealed epoch, oldest first, up to one whose inline bytes are still needed."""
    log = repository.chunks.log
    tail = Unarchived(log)
    needed = {published.epoch for published in tail.needed.values()}
    for records in tail.sealed:
        if records[0].epoch in needed:
            return
        log.archive(records)


def _records(inline: Iterable[Published]) -> Iterator[tuple[RecordHead, memoryview]]:
    for published in inline:
        for entry in inline_entries(published):
            start = entry.offset - published.inline_offset
            record = memoryview(published.inline)[start : start + entry.head.stored_length]
            yield check(record, f"log record {published.number} inline byte {start}")


def _some(packs: Iterable[PackId], among: Collection[PackId]) -> tuple[PackId, ...]:
    found = sorted(pack for pack in packs if pack in among)
    if not found:
        raise StaleTransactionError("somebody else has done it")
    return tuple(found)
