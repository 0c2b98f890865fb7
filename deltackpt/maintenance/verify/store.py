"""Checking a whole store, and what follows for its commits from whatever is wrong with it.

1. Replay the log, read the frame of every pack, compare the index with both.
2. With data, or for a sample of packs: read, decode and hash.
3. Add to each finding the chunks that are deltas on what it lost, then walk the manifests of all commits for the
   tensors that need any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import replace

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.plain_cache import CommitPlains
from deltackpt.chunkstore.reader import ChunkReader
from deltackpt.errors import InvalidInputError, StorageError
from deltackpt.history.manifest import Manifests
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.verify.contents import Contents, read_contents
from deltackpt.maintenance.verify.data import check_data
from deltackpt.maintenance.verify.index import compare_index
from deltackpt.maintenance.verify.ledger import read_ledger, write_ledger
from deltackpt.maintenance.verify.losses import left_over, with_deltas
from deltackpt.maintenance.verify.report import Finding, Problem, Report, Sampled
from deltackpt.maintenance.verify.usage import Usage
from deltackpt.maintenance.verify.work import plan_work

Progress = Callable[[int, int], None]


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
    findings: list[Finding] = []
    contents = read_contents(repository.chunks, findings)
    if contents.replay is not None:
        findings += compare_index(repository.chunks, contents.replay)
    findings = with_deltas(contents, _with_lost_rows(repository.chunks, contents, findings))
    # A reader of its own: what is in memory already says nothing about what is on the disk.
    with closing(ChunkReader(repository.chunks, CommitPlains(0))) as reader:
        if data or sample is not None:
            rounds = _Rounds(repository, contents)
            work = plan_work(contents, None if sample is None else rounds.choose(sample))
            found = check_data(repository, reader, contents, work, progress)
            report.read_bytes, report.checked_bytes = found.read_bytes, found.checked_bytes
            findings = with_deltas(contents, [*findings, *found.findings])
            findings = with_deltas(contents, [*findings, *left_over(findings, found.unread)])
            told = rounds.remember(findings)
            report.sample = None if sample is None else told
        report.commits, report.problems = _problems(repository, reader, contents, findings)
    report.packs, report.chunks = len(contents.packs), len(contents.in_use)
    return report


def _problems(
    repository: Repository, reader: ChunkReader, contents: Contents, findings: Sequence[Finding]
) -> tuple[int, list[Problem]]:
    """How many commits there are, and what the findings mean for them.

    Looks again when chunks are missing while a gc was at work: it may have taken a commit that we were looking at.
    """
    store, replay = repository.chunks, contents.replay
    while True:
        if replay is not None:
            replay.advance()
        before, commits = store.look(lambda view: (view.deletions, list(repository.history(view).everything())))
        known = [commit for commit in commits if replay is None or commit.id in replay.commits]
        problems = Usage(contents, Manifests(reader), list(findings)).problems(known)
        if len(problems) == len(findings) or replay is None:
            return len(known), problems
        if store.look_now(lambda view: view.deletions) == before:
            return len(known), problems


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
