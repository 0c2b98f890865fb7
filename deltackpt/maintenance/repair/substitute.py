"""What a record said that cannot be read any more, from whatever else still knows.

1. The index, when it has seen the record: its commits and packs stand there under its number, and of everything else
   what the index has and the other records do not come to was said by the last record that is missing.
2. The records around it: where a ref stood before and after. Commits whose bytes are still legible are taken when other
   records name their hash; nothing that cannot be proved is.
3. Packs that no record names may have been named by it. What they hold is used where nothing else brings it.
4. Chunks that the record carried, each with a checksum of its own.
"""

from __future__ import annotations

import copy
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from deltackpt.chunkstore.applying import inline_entries
from deltackpt.chunkstore.layout import pack_named
from deltackpt.chunkstore.location import inline_pack
from deltackpt.chunkstore.log_record import (
    MAX_RECORD_BYTES,
    Annotation,
    CommitAdded,
    LogRecord,
    PackAdded,
    Piece,
    Position,
    Published,
    RefMove,
    encode,
    legible_body,
)
from deltackpt.chunkstore.pack import PackEntry, read_entries
from deltackpt.errors import CorruptError
from deltackpt.history.objects import CommitObject, decode
from deltackpt.ids import ChunkId, CommitId, EpochId, PackId
from deltackpt.maintenance.repair.evidence import Evidence, Known
from deltackpt.maintenance.repair.salvage import sound_records


@dataclass(slots=True)
class _State:
    """What the records so far come to."""

    refs: dict[str, CommitId] = field(default_factory=dict)
    commits: set[CommitId] = field(default_factory=set)
    packs: set[PackId] = field(default_factory=set)
    condemned: set[PackId] = field(default_factory=set)
    gone: set[PackId] = field(default_factory=set)
    orphans: set[PackId] = field(default_factory=set)
    lost: set[ChunkId] = field(default_factory=set)
    deleted: dict[tuple[CommitId, str | None], bool] = field(default_factory=dict)
    annotations: dict[tuple[CommitId, str], float | None] = field(default_factory=dict)

    def apply(self, record: LogRecord) -> None:
        for move in record.refs:
            if move.new is None:
                self.refs.pop(move.name, None)
            else:
                self.refs[move.name] = CommitId(move.new)
        self.commits |= {_identity(commit) for commit in record.commits}
        self.commits -= set(map(CommitId, record.dropped))
        self.packs |= {PackId(added.id) for added in record.packs}
        gone = set(map(PackId, record.gone))
        self.packs -= gone
        self.gone |= gone
        self.condemned |= set(map(PackId, record.condemned))
        self.condemned -= {*map(PackId, record.revived), *gone}
        self.orphans |= set(map(PackId, record.orphans))
        self.lost |= set(map(ChunkId, record.lost))
        self.deleted |= {_key(piece): False for piece in record.deleted if _key(piece) not in self.deleted}
        for piece in record.undeleted:
            self.deleted.pop(_key(piece), None)
        self.deleted |= {_key(piece): True for piece in record.purged}
        self.annotations |= {(CommitId(said.commit), said.name): said.value for said in record.annotated}


@dataclass(slots=True)
class Substitutes:
    """A record for every number that has none or has to be written anew.

    ``unknown`` are commits that other records name and nobody has.
    """

    evidence: Evidence
    records: dict[int, Published] = field(default_factory=dict)
    unknown: set[CommitId] = field(default_factory=set)
    _state: _State = field(default_factory=_State)
    _named: set[CommitId] = field(default_factory=set)

    def __post_init__(self) -> None:
        evidence = self.evidence
        for published in evidence.sound.values():
            self._named |= set(_named(published.record))
        self.records |= {number: evidence.sound[number] for number in evidence.mislabelled}
        dropped: set[CommitId] = set()
        position = evidence.log.start
        for number in range(1, evidence.last + 1):
            published = evidence.sound.get(number) or self._substitute(number, position)
            self._state.apply(published.record)
            dropped |= set(map(CommitId, published.record.dropped))
            position = published.position
        known = set() if evidence.known is None else set(evidence.known.order)
        self.unknown = {*self._named, *self._state.refs.values(), *known} - self._state.commits - dropped

    def _substitute(self, number: int, position: Position) -> Published:
        evidence, epoch = self.evidence, position.epoch
        data = _damaged_bytes(evidence, number, epoch)
        seen = evidence.known is not None and number <= evidence.known.position.number
        empty = LogRecord(
            write_id=os.urandom(16),
            time_ns=max((p.record.time_ns for n, p in evidence.sound.items() if n < number), default=0),
            operation="substitute",
            actor=f"{socket.gethostname()}:{os.getpid()}",
            sealed=self._sealed(number, epoch),
            substitute=True,
        )
        carried = [data[e.offset : e.offset + e.head.stored_length] for e in sound_records(data)]
        if evidence.known is not None and seen:
            record = self._from_index(empty, number, epoch, evidence.known, carried)
        else:
            record = self._from_neighbours(empty, number, data)
        offset = len(encode(number, record))
        self.records[number] = Published(number, epoch, record, b"".join(carried), offset)
        return self.records[number]

    def _from_index(
        self, empty: LogRecord, number: int, epoch: EpochId, known: Known, carried: Sequence[bytes]
    ) -> LogRecord:
        commits = tuple(CommitAdded(row.data, row.stored_bytes) for row in known.order.values() if row.number == number)
        packs = {pack: row for pack, row in known.packs.items() if row.added == number}
        inline = inline_pack(epoch, number)
        entries = [entry for pack in packs for entry in _entries(self.evidence, pack)]
        arriving = {m.id for entry in (*entries, *sound_records(b"".join(carried))) for m in entry.head.members}
        mine = {chunk for chunk, place in known.chunks.items() if place.pack in packs or place.pack == inline}
        there = {chunk for chunk in mine if known.chunks[chunk].pack == inline}
        record = msgspec.structs.replace(
            empty,
            write_id=known.tail if known.position.number == number else empty.write_id,
            commits=commits,
            packs=tuple(PackAdded(pack, row.size, row.records) for pack, row in packs.items()),
            duplicates=tuple(sorted(arriving - mine)),
            # What the index has in use here was, in the end, not shadowed by anything before.
            superseding=bool(arriving & mine),
            lost=tuple(sorted(there - arriving)),
            refs=tuple(self._moves(number, known)),
        )
        later = [n for n in self.evidence.missing if number < n <= known.position.number]
        return record if later else self._rest(record, number, known)

    def _rest(self, record: LogRecord, number: int, known: Known) -> LogRecord:
        """The last record of those that the index has seen takes everything that no other accounts for."""
        after = copy.deepcopy(self._state)
        for published in (self.evidence.sound.get(n) for n in range(number, known.position.number + 1)):
            after.apply(published.record if published is not None else record)
        deleted = {(commit, part): purged for commit, ps in known.deleted.items() for part, purged in ps.items()}
        annotations = {(commit, name): value for commit, ns in known.annotations.items() for name, value in ns.items()}
        return msgspec.structs.replace(
            record,
            dropped=tuple(sorted(after.commits - known.order.keys())),
            gone=tuple(sorted(after.packs - known.packs.keys())),
            condemned=tuple(sorted(known.condemned - after.condemned)),
            revived=tuple(sorted(after.condemned - known.condemned - (after.packs - known.packs.keys()))),
            orphans=tuple(sorted(known.orphans - after.orphans)),
            lost=tuple(sorted({*map(ChunkId, record.lost), *(known.lost - after.lost)})),
            deleted=tuple(Piece(*key) for key in deleted if key not in after.deleted),
            undeleted=tuple(Piece(*key) for key in after.deleted if key not in deleted),
            annotated=tuple(
                Annotation(*key, after.annotations.get(key), value)
                for key, value in annotations.items()
                if after.annotations.get(key) != value
            ),
            purged=tuple(Piece(*key) for key, purged in deleted.items() if purged and not after.deleted.get(key)),
        )

    def _moves(self, number: int, known: Known | None) -> Iterator[RefMove]:
        """Refs that stood somewhere else after the record than before it, as the next one that moves them says."""
        after: dict[str, bytes | None] = {}
        for later in sorted(n for n in self.evidence.sound if n > number):
            for move in self.evidence.sound[later].record.refs:
                after.setdefault(move.name, move.old)
        if known is not None:
            names = {*known.refs, *self._state.refs}
            after = {**{name: known.refs.get(name) for name in names}, **after}
        for name, new in after.items():
            old = self._state.refs.get(name)
            if old != new:
                yield RefMove(name, old, new)

    def _from_neighbours(self, empty: LogRecord, number: int, data: bytes) -> LogRecord:
        moves = {move.name: move for move in self._moves(number, None)}
        legible = legible_body(data)
        commits = []
        if legible is not None:
            own = {CommitId(move.new): move for move in legible.refs if move.new is not None}
            elsewhere = {_identity(commit) for p in self.evidence.sound.values() for commit in p.record.commits}
            for commit in legible.commits:
                identity = _identity(commit)
                # A disk may have put one record in the place of another.
                if identity in elsewhere or (identity not in self._named and identity not in own):
                    continue
                commits.append(commit)
                # A commit names its branch, and its hash proves both.
                name = f"heads/{_decoded(commit)}"
                if identity in own and own[identity].name == name:
                    moves.setdefault(name, RefMove(name, self._state.refs.get(name), identity))
            # Those that could not be proved are named as lost.
            self._named |= own.keys()
        packs = dict(self._strays()) if number == self._first_unseen() else {}
        brought = _brought(self.evidence) if packs else set()
        arriving = {member.id for found in packs.values() for e in found[1] for member in e.head.members}
        return msgspec.structs.replace(
            empty,
            commits=tuple(commits),
            refs=(*moves.values(), *self._cut_off(moves.values(), {_identity(commit) for commit in commits})),
            packs=tuple(PackAdded(pack, size, len(entries)) for pack, (size, entries) in packs.items()),
            duplicates=tuple(sorted(arriving & brought)),
        )

    def _cut_off(self, moves: Iterable[RefMove], commits: set[CommitId]) -> Iterator[RefMove]:
        """A branch for each line that nothing would reach any more, as the commit above it is not known."""
        for move in moves:
            if move.old is not None and move.new is not None and move.new not in self._state.commits | commits:
                yield RefMove(f"heads/recovered/{CommitId(move.old).short}", None, move.old)

    def _first_unseen(self) -> int:
        seen = 0 if self.evidence.known is None else self.evidence.known.position.number
        return next(number for number in self.evidence.missing if number > seen)

    def _strays(self) -> Iterator[tuple[PackId, tuple[int, list[PackEntry]]]]:
        """Whole packs that no record names."""
        disk, layout = self.evidence.disk, self.evidence.layout
        records = [published.record for published in self.evidence.sound.values()]
        named = {PackId(pack) for r in records for pack in (*(added.id for added in r.packs), *r.gone, *r.orphans)}
        known = set() if self.evidence.known is None else {*self.evidence.known.packs, *self.evidence.known.orphans}
        for shelf in disk.names(layout.packs):
            for pack in map(pack_named, disk.names(os.path.join(layout.packs, shelf))):
                if pack is not None and pack not in named | known and (entries := _entries(self.evidence, pack)):
                    yield pack, (disk.size(layout.pack(pack)), entries)

    def _sealed(self, number: int, epoch: EpochId) -> bytes:
        """The next epoch when this record was the last of its own."""
        evidence = self.evidence
        if (following := evidence.sound.get(number + 1)) is not None:
            return following.epoch if following.epoch != epoch else b""
        if evidence.known is not None and evidence.known.position.number == number:
            return evidence.known.position.epoch if evidence.known.position.epoch != epoch else b""
        return b""


def _named(record: LogRecord) -> Iterator[CommitId]:
    """Commits that a record takes for known."""
    yield from (CommitId(commit) for move in record.refs for commit in (move.old, move.new) if commit is not None)
    for commit in record.commits:
        yield from map(CommitId, decode(commit.data, CommitObject).parents)


def _identity(commit: CommitAdded) -> CommitId:
    return CommitId(ChunkId.of(commit.data))


def _decoded(commit: CommitAdded) -> str:
    """The branch that a commit was made on."""
    return decode(commit.data, CommitObject).branch


def _key(piece: Piece) -> tuple[CommitId, str | None]:
    return CommitId(piece.commit), piece.part


def _brought(evidence: Evidence) -> set[ChunkId]:
    """Chunks of which the records that are sound bring a copy to be used."""
    found: set[ChunkId] = set()
    for published in evidence.sound.values():
        packs = [PackId(added.id) for added in published.record.packs]
        entries = [*(entry for pack in packs for entry in _entries(evidence, pack)), *inline_entries(published)]
        members = {member.id for entry in entries for member in entry.head.members}
        found |= members - set(map(ChunkId, published.record.duplicates))
    return found


def _entries(evidence: Evidence, pack: PackId) -> list[PackEntry]:
    with suppress(CorruptError, FileNotFoundError):
        return read_entries(evidence.disk, evidence.layout.pack(pack), pack)
    return []


def _damaged_bytes(evidence: Evidence, number: int, epoch: EpochId) -> bytes:
    with suppress(FileNotFoundError):
        return evidence.disk.read(evidence.layout.record(epoch, number), MAX_RECORD_BYTES)
    return b""
