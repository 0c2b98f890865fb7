"""What a store holds according to its log and packs alone, for the one job that must not trust the index: deleting.

A survey replays the log and reads pack footers, following the same rules as the index but none of its
bytes. It can be brought forward by the records that others publish while a gc works.

Records stand in a table, since a store may have millions; those of which somebody wants to know more are made into
objects one by one. Log records that only bring something are taken in many at a time.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.heads import Heads, inline_heads, read_heads, split_ids
from deltackpt.chunkstore.location import inline_pack
from deltackpt.chunkstore.log_record import Position, Published
from deltackpt.chunkstore.pack import PackCorruptError
from deltackpt.chunkstore.past import past
from deltackpt.errors import CorruptError
from deltackpt.history.objects import CommitObject, decode
from deltackpt.ids import ChunkId, CommitId, EpochId, PackId
from deltackpt.maintenance.holdings import Holdings, InUse, Pack


class SurveyError(CorruptError):
    """The store is not whole, so nothing can be deleted safely."""


# About 100 bytes of memory each.
_PUT_BY_CHUNKS = 500_000
_put_by: weakref.WeakKeyDictionary[ChunkStore, Survey] = weakref.WeakKeyDictionary()


def take_survey(store: ChunkStore) -> Survey:
    """The survey that was put by, while the log goes on from it and no repair has changed it; else a new one.

    It is the caller's alone.
    """
    found = _put_by.pop(store, None)
    if found is None or not store.is_tail(found.position, found._tail) or found._past != past(store.disk, store.layout):
        return Survey(store)
    found.store = store
    return found


@dataclass(slots=True)
class Survey:
    """The store as of ``position`` in the log.

    ``holdings`` are the packs of the store and what is in use there; ``published`` every pack that ever was part of it;
    ``finished`` those whose files may be unlinked: gone, or orphans that no writer may publish any more;
    ``quarantined`` those that are gone and whose files are kept. ``lost`` chunks are declared lost and were not brought
    since. ``deleted`` are the parts of commits that were deleted, None standing for all of a commit; ``purged`` those
    whose contents a gc has taken.
    """

    store: ChunkStore
    position: Position = field(init=False)
    refs: dict[str, CommitId] = field(default_factory=dict)
    commits: dict[CommitId, CommitObject] = field(default_factory=dict)
    holdings: Holdings = field(default_factory=Holdings)
    condemned: set[PackId] = field(default_factory=set)
    deleted: dict[CommitId, set[str | None]] = field(default_factory=dict)
    purged: set[tuple[CommitId, str | None]] = field(default_factory=set)
    published: set[PackId] = field(default_factory=set)
    finished: set[PackId] = field(default_factory=set)
    quarantined: set[PackId] = field(default_factory=set)
    lost: set[ChunkId] = field(default_factory=set)
    opened: int = 0
    # How many records took chunks away: what was marked before the last of them may have gone with it.
    losses: int = 0
    inline_bytes: dict[EpochId, int] = field(default_factory=dict)
    _tail: bytes = b""
    _past: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.position = self.store.log.start
        self._past = past(self.store.disk, self.store.layout)

    @property
    def packs(self) -> Mapping[PackId, Pack]:
        """The packs of the store, inline bytes of log records included, which count as packs."""
        return self.holdings.packs

    @property
    def in_use(self) -> InUse:
        """Where each chunk of the store is."""
        return self.holdings.in_use

    @property
    def is_current(self) -> bool:
        """Whether no record has come since the last look."""
        return not self.store.log.has_news(self.position)

    @property
    def epoch_length(self) -> int:
        """How many records the epoch holds in which the next record stands."""
        return self.position.number - self.opened

    def put_by(self) -> None:
        """Keep it, unless it is large: the next gc of the same store object looks at what is new since then alone.

        Whoever has it must not use it any more.
        """
        if self.position.number and len(self.in_use) <= _PUT_BY_CHUNKS:
            self.holdings.compact()
            store = self.store
            # What is kept for a store must not keep that alive.
            del self.store
            _put_by[store] = self

    def advance(self) -> None:
        """Take in every record since the last look. SurveyError when a pack or a record is missing or damaged."""
        self.store.log.check(self.position)
        self.inline_bytes = {epoch: n for epoch, n in self.inline_bytes.items() if self._stands(epoch)}
        while True:
            records = list(self.store.log.after(self.position))
            try:
                self._take(records)
                return
            except FileNotFoundError as error:
                # Another gc may have unlinked the pack since; then there is a record that says so.
                if not self.store.log.has_news(records[-1].position):
                    raise SurveyError(f"{error}; nothing was deleted, run `deltackpt verify`") from None

    def _take(self, records: list[Published]) -> None:
        leaving = {PackId(pack) for published in records for pack in published.record.gone}
        try:
            for published in records:
                self._bring(published, leaving)
                self._apply(published)
                self._pass(published)
        finally:
            self._settle()

    def _pass(self, published: Published) -> None:
        self.position, self._tail = published.position, published.record.write_id
        if published.record.sealed:
            self.opened = published.number
        if self._stands(published.epoch):
            self.inline_bytes[published.epoch] = self.inline_bytes.get(published.epoch, 0) + len(published.inline)

    def _stands(self, epoch: EpochId) -> bool:
        """Whether the epoch has not been archived yet."""
        return self.store.disk.exists(self.store.layout.epoch(epoch))

    def _bring(self, published: Published, leaving: set[PackId]) -> None:
        record = published.record
        self.published |= {PackId(added.id) for added in record.packs}
        added = [(PackId(added.id), added.size) for added in record.packs if PackId(added.id) not in leaving]
        # First all that can fail: what was taken in half would be taken in again.
        arrivals = [(pack, size, self._heads(pack)) for pack, size in added]
        if published.inline:
            pack = inline_pack(published.epoch, published.number)
            arrivals.append((pack, len(published.inline), inline_heads(published)))
        again = any(pack in self.packs for pack, *_ in arrivals)
        alone = record.superseding or bool(record.duplicates) or again
        if alone or self.holdings.crowded:
            self._settle()
        for arrival in arrivals:
            self.holdings.arrive(*arrival)
        if alone:
            self._settle(frozenset(record.duplicates), takes_over=record.superseding)

    def _settle(self, unused: frozenset[bytes] = frozenset(), *, takes_over: bool = False) -> None:
        brought = self.holdings.settle(unused, takes_over=takes_over)
        if self.lost:
            self.lost -= set(split_ids(self.holdings.records.numbering.ids(brought)))

    def _heads(self, pack: PackId) -> Heads:
        path = self.store.layout.pack(pack)
        try:
            return read_heads(self.store.disk, path, pack)
        except FileNotFoundError:
            raise FileNotFoundError(f"pack {pack.short} ({path}) is missing") from None
        except PackCorruptError as error:
            raise SurveyError(f"{error}; nothing was deleted") from error

    def _apply(self, published: Published) -> None:
        record = published.record
        self.condemned |= {PackId(pack) for pack in record.condemned}
        self.condemned -= {PackId(pack) for pack in (*record.revived, *record.gone)}
        for commit in record.commits:
            self.commits[CommitId(ChunkId.of(commit.data))] = decode(commit.data, CommitObject)
        self.finished |= {PackId(pack) for pack in record.orphans} - self.published
        for dropped in record.dropped:
            self.commits.pop(CommitId(dropped), None)
        for move in record.refs:
            if move.new is None:
                self.refs.pop(move.name, None)
            else:
                self.refs[move.name] = CommitId(move.new)
        for piece in record.deleted:
            self.deleted.setdefault(CommitId(piece.commit), set()).add(piece.part)
        for piece in record.undeleted:
            self.deleted.get(CommitId(piece.commit), set()).discard(piece.part)
        self.purged |= {(CommitId(piece.commit), piece.part) for piece in record.purged}
        self._forget(record.gone, (*record.forgotten, *record.lost))
        self.quarantined |= {PackId(pack) for pack in record.quarantined}
        self.finished -= self.quarantined
        self.lost |= {ChunkId(chunk) for chunk in record.lost}

    def _forget(self, gone: Collection[bytes], forgotten: Collection[bytes]) -> None:
        if not gone and not forgotten:
            return
        self.losses += 1
        self._settle()
        for pack in map(PackId, gone):
            self.finished.add(pack)
            self.holdings.leave(pack)
        self.holdings.records.forget(map(ChunkId, forgotten))
