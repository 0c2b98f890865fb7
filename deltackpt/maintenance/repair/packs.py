"""Damaged packs and lost chunks: what is sound goes to a new pack, what others have is fetched, the rest is lost.

1. Inspect the store as ``verify --data`` does, with the sound records of packs whose frame is damaged.
2. Ask the sources for every chunk that cannot be had, until they have no more.
3. Publish one record: copies of sound records and what was found take over, damaged packs are gone, and what stays lost
   is named. Chunks that are deltas on a lost one stay: they can be read again when it comes back.
4. Move the files of damaged packs to quarantine.

As with gc, what is decided is decided again under the record's number, so writers and collectors may be at work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from deltackpt.chunkstore.encoder import ChunkEncoder
from deltackpt.chunkstore.location import inline_record
from deltackpt.chunkstore.log_record import Position, RefMove
from deltackpt.chunkstore.pack_files import pack_path
from deltackpt.chunkstore.record import RecordCorruptError, check
from deltackpt.chunkstore.transaction import Decision, StaleTransactionError, Transaction
from deltackpt.codec.encode import DEFAULT_BUDGET
from deltackpt.errors import StorageError
from deltackpt.history.refs import Branch, parse_key
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, CommitId, PackId
from deltackpt.maintenance.abreast import publish_abreast
from deltackpt.maintenance.holdings import Place
from deltackpt.maintenance.repair.plan import Mend
from deltackpt.maintenance.repair.quarantine import put_aside
from deltackpt.maintenance.repair.salvage import Salvage
from deltackpt.maintenance.repair.sources import Source
from deltackpt.maintenance.survey import Survey
from deltackpt.maintenance.verify.contents import Contents, Replay
from deltackpt.maintenance.verify.index import compare_index
from deltackpt.maintenance.verify.report import HEAL, REPAIR, Finding, Problem

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class PackRepair:
    """What is wrong with packs and chunks of a store whose log is whole, and what is done about it.

    ``causes`` are the damaged packs with what is wrong with each, ``copied`` the sound records to be copied out of
    them, ``missing`` the chunks that cannot be had, and ``fetched`` says which of these a source has. With a
    ``stale_index`` all this may look worse than it is: it is to be built again first.
    """

    repository: Repository
    survey: Replay
    causes: dict[PackId, list[Finding]]
    copied: list[Place]
    missing: set[ChunkId]
    fetched: dict[ChunkId, Source]
    losses: tuple[Problem, ...]
    stale_index: Mend | None
    # How often anything had been taken from the store before it was looked at.
    _taken: int

    @property
    def is_overtaken(self) -> bool:
        """Whether something was found missing or damaged that may have been collected since, and is not lost then."""
        return bool(self._absent) and self.survey.losses > self._taken

    @property
    def _absent(self) -> set[ChunkId]:
        return self.missing - self.survey.in_use.keys() - self.survey.lost

    @property
    def _needed(self) -> bool:
        """Whether there is something to be published."""
        news = self.missing - self.survey.lost
        return bool(self.causes or news or self.fetched or dangling_refs(self.survey))

    def mends(self) -> Iterator[Mend]:
        """What is to be done, in its order."""
        layout = self.repository.chunks.layout
        for pack, findings in self.causes.items():
            sound = sum(place.pack == pack for place in self.copied)
            what = findings[0].what + (f" (and {len(findings) - 1} more in this pack)" if len(findings) > 1 else "")
            told = f"replaced by a new pack with its {_counted(sound, 'sound record')}"
            yield Mend(what, told, layout.pack(pack) if inline_record(pack) is None else "")
        for source in dict.fromkeys(self.fetched.values()):
            count = sum(found is source for found in self.fetched.values())
            yield Mend(f"{_counted(count, 'chunk')} cannot be read", f"fetched from {source.name!r}")
        if news := self.missing - self.survey.lost - self.fetched.keys():
            them = "it" if len(news) == 1 else "them"
            yield Mend(f"{_counted(len(news), 'chunk')} cannot be had", f"declared lost, until something brings {them}")
        for move in dangling_refs(self.survey):
            ref, lost = parse_key(move.name), CommitId(move.old or b"")
            now = f"moved to {CommitId(move.new).short}" if move.new else "removed: no commit of it is known"
            yield Mend(f"{ref} points to the lost commit {lost.short}", now)
        for pack, path in _left_on_shelves(self.repository, self.survey):
            yield Mend(f"pack {pack.short} is damaged and has left the store", "put aside", path)

    def execute(self) -> None:
        """Do it. May be interrupted anywhere: the next repair takes up what is left."""
        chunks = self.repository.chunks
        if self._needed:
            with Transaction(chunks, self.repository.reader, inline_limit=0, copying=True) as transaction:
                self._copy(transaction)
                self._fetch(transaction)
                publish_abreast(transaction, self._look, lambda: self._decide(transaction))
        self.repository.reader.close()
        self._look()
        for pack, path in _left_on_shelves(self.repository, self.survey):
            put_aside(chunks.disk, chunks.layout, path, f"{pack}.pack")

    def _look(self) -> Position:
        self.survey.advance()
        self.repository.chunks.catch_up()
        return self.survey.position

    def _copy(self, transaction: Transaction) -> None:
        chunks = self.repository.chunks
        for place in sorted(self.copied, key=lambda place: place.entry.head.rank):
            path = pack_path(chunks.layout, place.pack)
            fd = chunks.disk.open(path)
            try:
                data = chunks.disk.read_at(fd, place.entry.offset, place.entry.head.stored_length, path)
            finally:
                chunks.disk.close(fd, path)
            try:
                head, payload = check(memoryview(data), f"pack {place.pack.short}")
            except RecordCorruptError as error:
                raise StorageError(f"{path!r} changes while it is read ({error}); check that disk") from None
            transaction.put(head, [payload])
            for chunk in _in_use(self.survey, place):
                transaction.supersede(chunk)

    def _fetch(self, transaction: Transaction) -> None:
        encoder = ChunkEncoder(self.repository.reader, DEFAULT_BUDGET)
        for source in dict.fromkeys(self.fetched.values()):
            wanted = {chunk for chunk, found in self.fetched.items() if found is source}
            for found in source.find(wanted, reversed(self.survey.commits)):
                # Whole, as deltas of any rank may stand on it.
                members = [(found.chunk, found.plain)]
                transaction.put(*encoder.encode_bundle(members, found.element, [None], {}, found.kind))
                transaction.supersede(found.chunk)

    def _decide(self, transaction: Transaction) -> Decision:
        """A gc may have taken some of it since the plan was made, or a commit have brought some of it again."""
        gone = sorted(pack for pack in self.causes if pack in self.survey.packs)
        here = {chunk for pack in gone for chunk in _chunks_in_use(self.survey, pack)}
        if self.is_overtaken:
            raise StaleTransactionError("what was found missing may have been collected meanwhile")
        return Decision(
            "repair",
            refs=tuple(dangling_refs(self.survey)),
            gone=tuple(gone),
            quarantined=tuple(pack for pack in gone if inline_record(pack) is None),
            lost=tuple(sorted(chunk for chunk in here | self._absent if not transaction.contains(chunk))),
        )


def plan_packs(repository: Repository, sources: Sequence[Source], progress: Progress | None) -> PackRepair:
    """Look at every byte of the store; changes nothing. The log must be whole."""
    with closing(Salvage(repository)) as inspection:
        replay = inspection.contents.replay
        if replay is None:
            raise StorageError("the log was damaged while it was being repaired; run `deltackpt repair` again")
        taken = replay.losses
        inspection.read(None, progress)
        for finding in inspection.findings:
            if finding.unread:
                raise StorageError(f"{finding.what}; nothing was changed: what cannot be read may be sound")
        causes: dict[PackId, list[Finding]] = {}
        for finding in inspection.findings:
            if finding.pack is not None and finding.pack in replay.packs:
                causes.setdefault(finding.pack, []).append(finding)
        search = _Search(repository, inspection, sources, _unsalvaged(repository, inspection.contents, causes))
        # Whoever reads this has asked `deltackpt repair` already.
        losses = tuple(replace(loss, advice=HEAL) if loss.advice == REPAIR else loss for loss in search.run())
        different = next(compare_index(repository.chunks, replay), None)
        # A gc may have taken some of them meanwhile.
        causes = {pack: findings for pack, findings in causes.items() if pack in replay.packs}
        return PackRepair(
            repository,
            replay,
            causes,
            _sound(replay, causes, inspection.findings, search.elsewhere),
            search.missing,
            search.fetched,
            losses,
            None if different is None else Mend(different.what, "built again"),
            taken,
        )


@dataclass(slots=True)
class _Search:
    """Which chunks cannot be had, and which source has them. ``missing`` begins with those that are known to be.

    ``elsewhere`` are chunks of damaged packs of which the store has another copy.
    """

    repository: Repository
    inspection: Salvage
    sources: Sequence[Source]
    missing: set[ChunkId]
    elsewhere: set[ChunkId] = field(init=False)
    fetched: dict[ChunkId, Source] = field(default_factory=dict)
    _objects: dict[ChunkId, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.elsewhere = {chunk for chunk in self.missing if chunk in self.inspection.contents.in_use}
        self.missing -= self.elsewhere

    def run(self) -> tuple[Problem, ...]:
        """Ask all sources, again for what a manifest that was found names; returns what stays lost."""
        asked: set[ChunkId] = set()
        while True:
            _, problems = self.inspection.problems(self._objects)
            self.missing |= self._reported()
            if not (wanted := self.missing - asked):
                return tuple(problem for problem in problems if problem.affects)
            asked |= wanted
            commits = list(dict.fromkeys(a.commit for problem in problems for a in problem.affects))
            for source in self.sources:
                for found in source.find(wanted - self.fetched.keys(), commits):
                    self.fetched[found.chunk] = source
                    # Of data nothing is kept: the same bytes are read again when they are stored.
                    self._objects[found.chunk] = found.plain if found.kind else b""

    def _reported(self) -> set[ChunkId]:
        """Chunks of findings that are not had, other than those that stand on them."""
        contents = self.inspection.contents
        return {
            chunk
            for finding in self.inspection.findings
            for chunk in finding.chunks
            if chunk not in self.elsewhere and (finding.pack is not None or chunk not in contents.in_use)
        }


def _unsalvaged(repository: Repository, contents: Contents, causes: dict[PackId, list[Finding]]) -> set[ChunkId]:
    """Chunks that the index has in packs whose frame is damaged, and that are not among their sound records."""
    broken = contents.frames.findings.keys() & causes.keys()
    if not broken:
        return set()
    rows = repository.chunks.look(lambda view: [(chunk, at.pack) for chunk, at in view.chunks() if at.pack in broken])
    return {chunk for chunk, pack in rows if chunk not in contents.in_use or contents.in_use[chunk].pack != pack}


def _sound(
    survey: Survey, causes: dict[PackId, list[Finding]], findings: Sequence[Finding], elsewhere: set[ChunkId]
) -> list[Place]:
    """The records to be copied: of damaged packs all that are sound and in use, and other copies of what is not."""
    bad = {chunk for finding in findings if finding.pack is not None for chunk in finding.chunks}
    entries = [Place(pack, entry) for pack in causes for entry in survey.holdings.entries(pack)]
    used = [(place, _in_use(survey, place)) for place in entries]
    found = [place for place, chunks in used if chunks and not bad.intersection(chunks)]
    other = {id(survey.in_use[chunk].entry): survey.in_use[chunk] for chunk in elsewhere}
    return [*found, *other.values()]


def _in_use(survey: Survey, place: Place) -> list[ChunkId]:
    """Members of a record whose copy in use it is."""
    known = ((member.id, survey.in_use.get(member.id)) for member in place.entry.head.members)
    return [chunk for chunk, at in known if at is not None and at.entry is place.entry]


def _chunks_in_use(survey: Survey, pack: PackId) -> Iterator[ChunkId]:
    for entry in survey.holdings.entries(pack):
        yield from _in_use(survey, Place(pack, entry))


def dangling_refs(survey: Survey) -> list[RefMove]:
    """Where refs go that point to a commit which is not known any more: a branch to the newest commit of it that is."""
    moves = []
    for name, commit in survey.refs.items():
        if commit not in survey.commits:
            ref = parse_key(name)
            line = [c for c, known in survey.commits.items() if isinstance(ref, Branch) and known.branch == ref.name]
            moves.append(RefMove(name, commit, line[-1] if line else None))
    return moves


def _left_on_shelves(repository: Repository, survey: Survey) -> list[tuple[PackId, str]]:
    """Files of packs that are in quarantine as far as the log says."""
    layout, disk = repository.chunks.layout, repository.chunks.disk
    paths = [(pack, layout.pack(pack)) for pack in sorted(survey.quarantined)]
    return [(pack, path) for pack, path in paths if disk.exists(path)]


def _counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"
