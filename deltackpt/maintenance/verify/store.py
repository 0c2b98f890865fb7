"""Checking a whole store, and what follows for its commits from whatever is wrong with it.

1. Replay the log, read the frame of every pack, compare the index with both.
2. With data, or for a sample of packs: read, decode and hash.
3. Add to each finding the chunks that are deltas on what it lost, then walk the manifests of all commits for the
   tensors that need any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.plain_cache import CommitPlains
from deltackpt.chunkstore.reader import ChunkReader
from deltackpt.chunkstore.view import View
from deltackpt.errors import DeltackptError, InvalidInputError, StorageError
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import Manifests
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.mark import Marks
from deltackpt.maintenance.verify.contents import Contents, Replay, read_contents
from deltackpt.maintenance.verify.data import DataCheck, check_data
from deltackpt.maintenance.verify.frames import Frames
from deltackpt.maintenance.verify.index import compare_index
from deltackpt.maintenance.verify.ledger import read_ledger, write_ledger
from deltackpt.maintenance.verify.losses import left_over, with_deltas
from deltackpt.maintenance.verify.report import HEAL, Finding, Problem, Report, Sampled
from deltackpt.maintenance.verify.usage import Usage
from deltackpt.maintenance.verify.work import plan_work

Progress = Callable[[int, int], None]
NOTHING_AT_HAND: Mapping[ChunkId, bytes] = {}


def verify(
    repository: Repository, *, data: bool = False, sample: float | None = None, progress: Progress | None = None
) -> Report:
    """Check the whole store; changes nothing in it.

    With ``data`` every byte is read, and every chunk decoded and hashed; with ``sample``, a share from 0 to 1, so much
    of it, what was checked longest ago first. ``progress`` hears (bytes read, bytes in all).
    """
    if sample is not None and not 0 < sample <= 1:
        raise InvalidInputError(f"a sample is a share of the store, more than 0 and at most 1, not {sample!r}")
    report = Report()
    with closing(Inspection(repository, Frames(repository.chunks))) as inspection:
        if inspection.contents.replay is not None:
            inspection.findings += compare_index(repository.chunks, inspection.contents.replay)
        if data or sample is not None:
            rounds = _Rounds(repository, inspection.contents)
            found = inspection.read(None if sample is None else rounds.choose(sample), progress)
            report.read_bytes, report.checked_bytes = found.read_bytes, found.checked_bytes
            told = rounds.remember(with_deltas(inspection.contents, inspection.findings))
            report.sample = None if sample is None else told
        report.commits, report.problems = inspection.problems()
        report.packs, report.chunks = len(inspection.contents.packs), len(inspection.contents.in_use)
    return report


class Inspection:
    """A look at a store: its ``contents``, and ``findings``, which grow with every step. To be closed."""

    def __init__(self, repository: Repository, frames: Frames) -> None:
        self._repository = repository
        found: list[Finding] = []
        self.contents: Contents = read_contents(repository.chunks, frames, found)
        self.findings = [*_declared(self.contents), *_with_lost_rows(repository.chunks, self.contents, found)]
        self._reader = self._open_reader(repository.chunks)

    def close(self) -> None:
        self._reader.close()

    def _open_reader(self, chunks: ChunkStore) -> ChunkReader:
        """A reader of its own: what is in memory already says nothing about what is on the disk."""
        return ChunkReader(chunks, CommitPlains(0))

    def read(self, only: Collection[PackId] | None, progress: Progress | None) -> DataCheck:
        """Read, decode and hash everything, or what is in some packs."""
        work = plan_work(self.contents, only)
        found = check_data(self._repository, self._reader, self.contents, work, progress)
        self.findings += found.findings
        self.findings += left_over(with_deltas(self.contents, self.findings), found.unread)
        return found

    def problems(self, at_hand: Mapping[ChunkId, bytes] = NOTHING_AT_HAND) -> tuple[int, list[Problem]]:
        """How many commits there are, and what the findings mean for them, were the chunks ``at_hand`` in the store.

        Of these only objects need bytes. Chunks that turn out to be in no pack on the way become findings.
        """
        remaining = [replace(finding, chunks=finding.chunks - at_hand.keys()) for finding in self.findings]
        findings = with_deltas(self.contents, remaining)
        stored = Manifests(self._reader)

        def objects(identity: bytes) -> bytes:
            return at_hand.get(ChunkId(identity)) or stored.object(identity)

        store, replay = self._repository.chunks, self.contents.replay
        while True:
            if replay is not None:
                replay.advance()
            before, commits = store.look(lambda view: (view.deletions, self._commits(view)))
            known = [commit for commit in commits if replay is None or commit.id in replay.commits]
            if replay is not None and not findings and self._are_whole(replay, known):
                return len(known), []
            usage = Usage(self.contents, objects, list(findings), at_hand.keys())
            problems = usage.problems(known)
            # A gc may have taken a commit that we were looking at: then chunks are missing, and we look again.
            undisturbed = len(usage.findings) == len(findings) or replay is None
            if undisturbed or store.look_now(lambda view: view.deletions) == before:
                self.findings += usage.findings[len(findings) :]
                return len(known), problems

    def _are_whole(self, replay: Replay, commits: Iterable[Commit]) -> bool:
        """Whether all that commits hold is there; when it is not, walking them name by name tells what is missing."""
        holdings = replay.holdings
        marks = Marks.none(Manifests(self._reader), holdings)
        try:
            marks.mark((c.id, replay.commits[c.id], {part.name for part in c.thinned}) for c in commits)
        except DeltackptError:
            return False
        needed = marks.chunks.mask()
        return bool((holdings.records.holders[needed] >= 0).all())

    def _commits(self, view: View) -> list[Commit]:
        return list(self._repository.history(view).everything())


def _declared(contents: Contents) -> Iterator[Finding]:
    """What is lost already, first: whatever else is found, these chunks are not lost by it."""
    if contents.lost:
        count = "1 chunk was" if len(contents.lost) == 1 else f"{len(contents.lost)} chunks were"
        what = f"{count} declared lost by `deltackpt repair`"
        yield Finding(what, HEAL, frozenset(contents.lost), declared=True)


def _with_lost_rows(store: ChunkStore, contents: Contents, findings: Iterable[Finding]) -> list[Finding]:
    """The findings, those on packs whose footer is lost with the chunks that the index has there."""
    lost = {pack: finding for pack, finding in contents.frames.findings.items() if not contents.packs.get(pack)}
    chunks: dict[Finding, set[ChunkId]] = {}
    if lost:
        for chunk, pack in store.look(lambda view: [(c, at.pack) for c, at in view.chunks() if at.pack in lost]):
            chunks.setdefault(lost[pack], set()).add(chunk)
    return [replace(f, chunks=f.chunks | chunks[f]) if f in chunks else f for f in findings]


class _Rounds:
    """Which packs a run reads, and what it leaves for the next one to know. The bytes of a log record count as one."""

    def __init__(self, repository: Repository, contents: Contents) -> None:
        self._disk = repository.chunks.disk
        self._folder = repository.chunks.index.folder
        self._contents = contents
        self._ledger = read_ledger(self._disk, self._folder)
        entries = {id(place.entry): place for place in contents.in_use.values()}.values()
        self._sizes: dict[PackId, int] = {
            pack: sum(entry.head.stored_length for entry in found) for pack, found in contents.packs.items() if found
        }
        for place in entries:
            if place.pack not in contents.packs:
                self._sizes[place.pack] = self._sizes.get(place.pack, 0) + place.entry.head.stored_length
        self._chosen: Collection[PackId] = self._sizes

    def choose(self, share: float) -> Collection[PackId]:
        """The packs to read when it is not all of them."""
        self._chosen = frozenset(self._ledger.oldest(self._sizes, share))
        return self._chosen

    def remember(self, findings: Iterable[Finding]) -> Sampled:
        """Write down what was checked and found good."""
        lost = {chunk for finding in findings for chunk in finding.chunks}
        bad = {self._contents.in_use[chunk].pack for chunk in lost if chunk in self._contents.in_use}
        ledger = self._ledger.after([pack for pack in self._chosen if pack not in bad], self._sizes)
        remembered = True
        try:
            write_ledger(self._disk, self._folder, ledger)
        except StorageError:
            remembered = False
        return Sampled(
            len(self._chosen),
            sum(self._sizes[pack] for pack in self._chosen),
            ledger.covered(self._sizes),
            sum(self._sizes.values()),
            ledger.since(),
            remembered,
        )
