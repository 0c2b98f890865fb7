"""What is left of a log: the records that are sound, those that are not, and what the index still knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from deltackpt.chunkstore.facts import StoreFacts
from deltackpt.chunkstore.index import Index
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
from deltackpt.chunkstore.rows import CommitRow, PackRow
from deltackpt.chunkstore.tables import IndexDamagedError
from deltackpt.chunkstore.view import View
from deltackpt.errors import DeltackptError
from deltackpt.fs.disk import Disk
from deltackpt.ids import ChunkId, CommitId, EpochId, PackId

T = TypeVar("T")


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
    """Look at everything. What cannot be read at all, or is of a newer release, is raised: it may be sound.

    Others may publish and archive meanwhile: only what was published before the first look can be missing.
    """
    log = Log(disk, layout, facts.first_epoch)
    last = max(log.length(), _look(layout, facts, log, lambda view: view.applied) or 0)
    faults = list(log.faults())
    for fault in faults:
        if not isinstance(fault, LogCorruptError):
            raise fault
    found = _scan(disk, layout, log)
    last = max([last, *(end for end, _ in found.bad_segments)])
    missing = {number for number in range(1, last + 1) if number not in found.sound}
    known = _look(layout, facts, log, lambda view: _everything(view, missing)) if missing else None
    # What the index knows of records that came since must not be taken for what the missing ones said.
    sound = found.sound if known is None else {**_scan(disk, layout, log).sound, **found.sound}
    return Evidence(disk, layout, log, sound, found.mislabelled, faults, found.bad_segments, last, known)


@dataclass(frozen=True, slots=True)
class _Found:
    sound: dict[int, Published] = field(default_factory=dict)
    mislabelled: list[int] = field(default_factory=list)
    bad_segments: list[tuple[int, EpochId]] = field(default_factory=list)


def _scan(disk: Disk, layout: Layout, log: Log) -> _Found:
    """Folders first: an epoch that is archived meanwhile has its segment before its folder goes."""
    found, illegible = _Found(), dict[int, Published]()
    for epoch in filter(None, map(epoch_named, disk.names(layout.log))):
        for number in log.numbers(epoch):
            try:
                record = log.read(epoch, number)
            except LogCorruptError:
                path = layout.record(epoch, number)
                mended = _without_magic(disk, path, number, epoch)
                illegible |= {} if mended is None else {number: mended}
                continue
            if record is not None:
                found.sound[number] = record
    for last, epoch in log.segments():
        for published in _in_segment(disk, layout, last, epoch):
            found.sound.setdefault(published.number, published)
        try:
            log.segment(last, epoch)
        except LogCorruptError:
            found.bad_segments.append((last, epoch))
    found.mislabelled.extend(illegible.keys() - found.sound.keys())
    found.sound.update({number: illegible[number] for number in found.mislabelled})
    return found


def _without_magic(disk: Disk, path: str, number: int, epoch: EpochId) -> Published | None:
    with suppress(FileNotFoundError):
        return decode_despite_magic(disk.read(path, MAX_RECORD_BYTES), number, epoch, path)
    return None


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


def _look(layout: Layout, facts: StoreFacts, log: Log, question: Callable[[View], T]) -> T | None:
    """What the index says; None when there is none to be trusted."""
    folder = index_folder(layout, facts.key)
    # Opening one that is not there would make a folder for it.
    if not os.path.exists(os.path.join(folder, "lmdb", "data.mdb")):
        return None
    try:
        with Index(folder, facts.key, log.start).view() as view:
            return question(view)
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
