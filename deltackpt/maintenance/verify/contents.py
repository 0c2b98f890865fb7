"""What a store holds according to its log and packs, for a check that goes on where one that deletes must stop.

While every log record can be read, that is a survey, which owes nothing to the index. With a damaged record in
between it is what the index still knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.heads import Heads
from deltackpt.chunkstore.location import inline_record
from deltackpt.chunkstore.log_record import LogCorruptError
from deltackpt.chunkstore.pack import PackEntry
from deltackpt.chunkstore.view import View
from deltackpt.errors import DeltackptError
from deltackpt.ids import ChunkId, CommitId, PackId
from deltackpt.maintenance.holdings import Holdings, Place
from deltackpt.maintenance.survey import Survey
from deltackpt.maintenance.verify.frames import Frames
from deltackpt.maintenance.verify.report import Finding


@dataclass(slots=True)
class Replay(Survey):
    """A survey in which a pack that cannot be read has no entries; ``frames`` has a finding about it."""

    frames: Frames = field(kw_only=True)

    def _heads(self, pack: PackId) -> Heads:
        return self.frames.heads(pack)


@dataclass(frozen=True, slots=True)
class Contents:
    """``packs`` with their entries, without what stands inline in the log; ``in_use`` says where each chunk is.

    ``lost`` chunks are declared lost and were not brought since.
    ``replay`` is None when the log is damaged.
    """

    packs: Mapping[PackId, Sequence[PackEntry]]
    in_use: Mapping[ChunkId, Place]
    lost: Set[ChunkId]
    frames: Frames
    replay: Replay | None


class _Packs(Mapping[PackId, Sequence[PackEntry]]):
    """Packs with their entries, which are made when they are asked for."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def __getitem__(self, pack: PackId) -> Sequence[PackEntry]:
        if pack not in self:
            raise KeyError(pack)
        return self._holdings.entries(pack)

    def __contains__(self, pack: object) -> bool:
        return isinstance(pack, PackId) and inline_record(pack) is None and pack in self._holdings.packs

    def __iter__(self) -> Iterator[PackId]:
        return (pack for pack in self._holdings.packs if inline_record(pack) is None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def read_contents(store: ChunkStore, frames: Frames, findings: list[Finding]) -> Contents:
    """Replay the log and read the frame of every pack; what is wrong with either goes to ``findings``."""
    replay = Replay(store, frames=frames)
    while True:
        try:
            replay.advance()
        except DeltackptError as error:
            findings += _damaged_records(store) or [Finding.of(error)]
            return _from_index(store, frames, findings)
        for pack, row in store.look_now(lambda view: view.packs()).items():
            if pack in replay.packs:
                frames.compare(pack, row.size, row.records)
        # A file that is missing may be one that a gc has taken: then there is a record that says so.
        if replay.is_current:
            break
    findings += [finding for pack, finding in frames.findings.items() if pack in replay.packs]
    return Contents(_Packs(replay.holdings), replay.in_use, replay.lost, frames, replay)


def _damaged_records(store: ChunkStore) -> list[Finding]:
    """Every log record that is damaged, with the commits that only the index knows from there on."""
    findings = []
    for error in store.log.faults():
        found, number = Finding.of(error), error.number if isinstance(error, LogCorruptError) else 0
        commits = store.look(lambda view, number=number: frozenset(_published_since(view, number)))  # type: ignore[misc]
        findings.append(Finding(found.what, found.advice, commits=commits))
    return findings


def _published_since(view: View, number: int) -> Iterator[CommitId]:
    for _, row in view.tables.items(b"order", number.to_bytes(8, "big")):
        yield from (CommitId(row[at : at + CommitId.size]) for at in range(0, len(row), CommitId.size))


def _from_index(store: ChunkStore, frames: Frames, findings: list[Finding]) -> Contents:
    rows = store.look(lambda view: view.packs())
    packs = {pack: frames.heads(pack).entries() for pack in rows}
    for pack, row in rows.items():
        frames.compare(pack, row.size, row.records)
    findings += frames.findings.values()
    places = {(pack, entry.offset): Place(pack, entry) for pack, entries in packs.items() for entry in entries}
    in_use: dict[ChunkId, Place] = {}
    for chunk, location in store.look(lambda view: list(view.chunks())):
        if inline_record(location.pack) is not None and (location.pack, location.offset) not in places:
            places |= {(location.pack, e.offset): Place(location.pack, e) for e in _inline(store, location.pack)}
        if (place := places.get((location.pack, location.offset))) is not None:
            in_use[chunk] = place
    return Contents(packs, in_use, store.look(lambda view: view.lost()), frames, None)


def _inline(store: ChunkStore, pack: PackId) -> Sequence[PackEntry]:
    try:
        return store.entries(pack)
    except (DeltackptError, FileNotFoundError):
        return []
