"""What is left of a log: the records that are sound, those that are not, and what the index still knows."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass

from deltackpt.chunkstore.environment import IndexDamagedError
from deltackpt.chunkstore.facts import StoreFacts
from deltackpt.chunkstore.index import CommitRow, Index, PackRow, View
from deltackpt.chunkstore.index_folder import index_folder
from deltackpt.chunkstore.layout import Layout, epoch_named
from deltackpt.chunkstore.location import Location, inline_record
from deltackpt.chunkstore.log import MAX_SEGMENT_BYTES, Log
from deltackpt.chunkstore.log_record import (
    ENVELOPE_SIZE,
    MAGIC,
    MAX_RECORD_BYTES,
    LogCorruptError,
    Position,
    Published,
    decode_at,
    decode_despite_magic,
)
from deltackpt.errors import DeltackptError
from deltackpt.fs.disk import Disk
from deltackpt.ids import ChunkId, CommitId, EpochId, PackId


@dataclass(frozen=True, slots=True)
class Known:
    """What an index says, as of the record before ``position``. ``chunks`` are those that missing records brought."""

    position: Position
    tail: bytes
    refs: Mapping[str, CommitId]
    order: Mapping[CommitId, CommitRow]
    packs: Mapping[PackId, PackRow]
    chunks: Mapping[ChunkId, Location]
    condemned: frozenset[PackId]
    orphans: frozenset[PackId]
    lost: frozenset[ChunkId]
    deleted: Mapping[CommitId, Mapping[str | None, bool]]
    annotations: Mapping[CommitId, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """``sound`` records by number; ``faults`` are what is wrong, ``bad_segments`` those to be written anew.

    Of ``mislabelled`` records, which are sound, the magic is damaged, with the version in it: they are written anew.
    ``last`` is the last number that was ever given, as far as names and the index tell.
    """

    disk: Disk
    layout: Layout
    log: Log
    sound: dict[int, Published]
    mislabelled: list[int]
    faults: list[DeltackptError]
    bad_segments: list[tuple[int, EpochId]]
    last: int
    known: Known | None

    @property
    def missing(self) -> list[int]:
        return [number for number in range(1, self.last + 1) if number not in self.sound]


def gather(disk: Disk, layout: Layout, facts: StoreFacts) -> Evidence:
    """Look at everything. What cannot be read at all, or is of a newer release, is raised: it may be sound."""
    log = Log(disk, layout, facts.first_epoch)
    faults = list(log.faults())
    for fault in faults:
        if not isinstance(fault, LogCorruptError):
            raise fault
    sound: dict[int, Published] = {}
    bad, mislabelled = [], []
    for last, epoch in log.segments():
        found = list(_in_segment(disk, layout, last, epoch))
        sound |= {published.number: published for published in found}
        try:
            log.segment(last, epoch)
        except LogCorruptError:
            bad.append((last, epoch))
    for epoch in filter(None, map(epoch_named, disk.names(layout.log))):
        for number in log.numbers(epoch):
            try:
                record = log.read(epoch, number)
            except LogCorruptError:
                path = layout.record(epoch, number)
                record = decode_despite_magic(disk.read(path, MAX_RECORD_BYTES), number, epoch, path)
                mislabelled += [number] if record is not None and number not in sound else []
            if record is not None:
                sound[number] = record
    known = _known(layout, facts, log, sound)
    last = max(log.length(), 0 if known is None else known.position.number)
    return Evidence(disk, layout, log, sound, mislabelled, faults, bad, last, known)


def _in_segment(disk: Disk, layout: Layout, last: int, epoch: EpochId) -> Iterator[Published]:
    """Records of a segment that are sound, whatever lies between them."""
    path = layout.segment(epoch, last)
    data, at = bytearray(disk.read(path, MAX_SEGMENT_BYTES)), 0
    while 0 <= at <= len(data) - ENVELOPE_SIZE:
        number = int.from_bytes(data[at + len(MAGIC) : at + len(MAGIC) + 8], "little")
        # The magic may be all that is damaged.
        told, data[at : at + len(MAGIC)] = data[at : at + len(MAGIC)], MAGIC
        try:
            published, size = decode_at(memoryview(data), at, number, epoch, path)
        except LogCorruptError:
            data[at : at + len(MAGIC)] = told
            at = data.find(MAGIC, at + 1)
        else:
            if number <= last:
                yield published
            at += size


def _known(layout: Layout, facts: StoreFacts, log: Log, sound: Collection[int]) -> Known | None:
    """What the index says; None when it knows of nothing that is not ``sound``, or there is none to be trusted."""
    folder = index_folder(layout, facts.key)
    # Opening one that is not there would make a folder for it.
    if not os.path.exists(os.path.join(folder, "lmdb", "data.mdb")):
        return None
    try:
        with Index(folder, facts.key, log.start).view() as view:
            missing = {number for number in range(1, view.applied + 1) if number not in sound}
            return _everything(view, missing) if missing else None
    except IndexDamagedError:
        return None


def _everything(view: View, missing: Set[int]) -> Known:
    order = {commit: row for commit in view.order() if (row := view.commit(commit)) is not None}
    packs = view.packs()
    theirs = {pack for pack, row in packs.items() if row.added in missing}
    return Known(
        view.position,
        view.tail,
        view.refs(),
        order,
        packs,
        {chunk: at for chunk, at in view.chunks() if at.pack in theirs or _number(at.pack) in missing},
        view.condemned(),
        view.orphans(),
        view.lost(),
        {commit: view.deleted(commit) for commit in order},
        {commit: view.annotations(commit) for commit in order},
    )


def _number(pack: PackId) -> int:
    """The number of the log record that carries an inline pack; 0 for any other."""
    inline = inline_record(pack)
    return 0 if inline is None else inline.number
