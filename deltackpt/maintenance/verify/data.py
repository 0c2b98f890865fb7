"""Every byte of packs against its checksum, every chunk against its hash, each link of a chain decoded once.

1. Records that are in use form trees: keyframes at the root, below each record the deltas that are against it. A tree
   is one job. It goes depth first, so that a chunk's plain bytes are at hand for all its deltas, and memory holds one
   chunk for each link of the longest chain, for each thread.
2. Small chunks that are encoded together may have bases in several records. They are decoded in the order of
   publishing, by a reader that remembers the last ones.
3. Records that are not in use are compared with their checksum only, and so is all that stands on a chunk that cannot
   be had: nothing can be said of its contents then.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from deltackpt.chunkstore.location import Location, locations
from deltackpt.chunkstore.pack_files import PackFiles
from deltackpt.chunkstore.reader import ChunkCorruptError, ChunkReader
from deltackpt.chunkstore.record import RecordCorruptError, RecordHead, check
from deltackpt.chunkstore.scratch import scratch
from deltackpt.codec.decode import decode
from deltackpt.errors import CorruptError, DeltackptError, NotFoundError
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId
from deltackpt.maintenance.holdings import Place
from deltackpt.maintenance.verify.contents import Contents
from deltackpt.maintenance.verify.report import Finding
from deltackpt.maintenance.verify.work import Work
from deltackpt.tensor.dtype import Element

Progress = Callable[[int, int], None]
_Plains = Mapping[ChunkId, memoryview]

# Slots that no reader uses: one for each depth of a tree.
_FIRST_SLOT = 1000


@dataclass(frozen=True, slots=True)
class DataCheck:
    """What reading found. ``unread`` says why chunks in use could not be decoded whose own bytes are good."""

    findings: list[Finding]
    unread: dict[ChunkId, str]
    read_bytes: int
    checked_bytes: int


def check_data(
    repository: Repository, reader: ChunkReader, contents: Contents, work: Work, progress: Progress | None = None
) -> DataCheck:
    """Do ``work`` on all cores. ``progress`` hears (bytes read, bytes in all), from several threads."""
    with closing(PackFiles(repository.chunks.disk, repository.chunks.layout)) as files:
        checker = _Checker(repository, reader, contents, work, files, _Tally(work.stored_bytes, progress))
        _run(repository, checker.jobs())
        checker.finish()
    return DataCheck(checker.findings, checker.unread, checker.tally.read, checker.tally.checked)


def _run(repository: Repository, jobs: Iterable[Callable[[], object]]) -> None:
    """Run jobs on all cores, begun in their order, a bounded number ahead."""
    running: deque[Future[object]] = deque()
    try:
        for job in jobs:
            running.append(repository.executor.submit(job))
            while len(running) > repository.ahead:
                running.popleft().result()
        while running:
            running.popleft().result()
    finally:
        for future in running:
            future.cancel()
        wait(running)


@dataclass(slots=True)
class _Tally:
    """Counts bytes; called from several threads."""

    total: int
    progress: Progress | None
    read: int = 0
    checked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def has_read(self, count: int) -> None:
        with self._lock:
            self.read += count
            if self.progress is not None:
                self.progress(self.read, self.total)

    def has_checked(self, count: int) -> None:
        with self._lock:
            self.checked += count


@dataclass(slots=True)
class _Checker:
    """Jobs and what they have found."""

    repository: Repository
    reader: ChunkReader
    contents: Contents
    work: Work
    files: PackFiles
    tally: _Tally
    findings: list[Finding] = field(default_factory=list)
    unread: dict[ChunkId, str] = field(default_factory=dict)
    _visited: set[int] = field(default_factory=set)
    _moved: list[Place] = field(default_factory=list)

    def jobs(self) -> Iterator[Callable[[], object]]:
        yield from (partial(self._tree, root) for root in self.work.roots)
        yield from (partial(self._bundle, bundle) for bundle in self.work.bundles)
        yield from (partial(self._payload, place) for place in self.work.unused)

    def finish(self) -> None:
        """When all jobs are done: look at what no root led to, and at what a gc has moved away meanwhile."""
        for base, places in self.work.children.items():
            for place in places:
                if id(place.entry) not in self._visited:
                    self._payload(place)
                    self._leave(place, f"{self._where(place)}: its base {base.short} is in no pack")
        if self._moved:
            self._follow_moved()
        if self.unread:
            self.repository.chunks.catch_up()
            self.unread = {chunk: reason for chunk, reason in self.unread.items() if self._is_there(chunk)}

    def _follow_moved(self) -> None:
        """A gc has put chunks elsewhere, and what is a delta on them could not be decoded; or it has taken them."""
        self.repository.chunks.catch_up()
        moved = [chunk for place in self._moved for chunk in self._in_use(place)]
        for chunk in (*moved, *self.unread):
            if self._is_there(chunk):
                try:
                    self.tally.has_checked(len(self.reader.read(chunk)))
                except DeltackptError as error:
                    self.repository.chunks.catch_up()
                    if self._is_there(chunk):
                        self.findings.append(Finding.of(error, [chunk]))
        self.unread.clear()

    def _is_there(self, chunk: ChunkId) -> bool:
        """Whether the store has the chunk still: what a gc has taken is nobody's concern."""
        return self.repository.chunks.look(lambda view: view.chunk(chunk)) is not None

    def _tree(self, root: Place) -> None:
        self._descend(root, self._decoded(root, None, 0))

    def _bundle(self, place: Place) -> None:
        plains: _Plains = {}
        if self._payload(place) is not None:
            try:
                plains = {chunk: self.reader.read(chunk) for chunk in self._in_use(place)}
            except (CorruptError, NotFoundError) as error:
                self._leave(place, str(error).partition("; ")[0])
            self.tally.has_checked(sum(map(len, plains.values())))
        self._descend(place, plains)

    def _descend(self, parent: Place, plains: _Plains) -> None:
        """Everything below ``parent``, whose ``plains`` are missing when they cannot be had."""
        stack = list(self._below(parent, plains, 1))
        while stack:
            # The last one first: a parent's bytes are written over only when all below it is done.
            place, base, depth = stack.pop()
            self._visited.add(id(place.entry))
            below: _Plains = {}
            if base is not None:
                below = self._decoded(place, base, depth)
            else:
                self._payload(place)
                self._leave(place, f"{self._where(place)}: its base cannot be had")
            stack += self._below(place, below, depth + 1)

    def _below(self, parent: Place, plains: _Plains, depth: int) -> Iterator[tuple[Place, memoryview | None, int]]:
        for chunk in self._in_use(parent):
            yield from ((child, plains.get(chunk), depth) for child in self.work.children.get(chunk, ()))

    def _decoded(self, place: Place, base: memoryview | None, depth: int) -> _Plains:
        """A record's plain bytes by chunk, hashed; none when they cannot be had, which is a finding then."""
        payload = self._payload(place)
        if payload is None:
            return {}
        head = place.entry.head
        plain = scratch(_FIRST_SLOT + depth, head.plain_length)
        try:
            decode(head.recipe, Element(head.element), payload, plain, base)
            plains = dict(_hashed(head, plain))
        except (DeltackptError, ValueError) as error:
            self._blame(place, ChunkCorruptError(f"{self._where(place)}: {error}; run `deltackpt verify`"))
            return {}
        self.tally.has_checked(len(plain))
        return plains

    def _payload(self, place: Place) -> memoryview | None:
        """The bytes of a record behind its head, checksum compared; None when that is a finding, or a gc moved it."""
        location = _location(place)
        try:
            head, payload = check(memoryview(self.files.read(location)), self._where(place))
            if head == place.entry.head:
                return payload
            self._blame(place, RecordCorruptError(f"{self._where(place)}: the footer names another record"))
        except FileNotFoundError:
            self._moved.append(place)
        except DeltackptError as error:
            self._blame(place, error)
        finally:
            self.tally.has_read(location.stored_length)
        return None

    def _in_use(self, place: Place) -> list[ChunkId]:
        """The members of a record whose copy in use it is."""
        known = ((member.id, self.contents.in_use.get(member.id)) for member in place.entry.head.members)
        return [chunk for chunk, at in known if at is not None and at.entry is place.entry]

    def _blame(self, place: Place, error: DeltackptError) -> None:
        self.findings.append(Finding.of(error, self._in_use(place), place.pack))

    def _leave(self, place: Place, reason: str) -> None:
        for chunk in self._in_use(place):
            self.unread.setdefault(chunk, reason)

    def _where(self, place: Place) -> str:
        members = place.entry.head.members
        what = f"chunk {members[0].id.short}" if len(members) == 1 else f"{len(members)} chunks"
        return f"{what} in {self.files.path(_location(place))!r} at byte {place.entry.offset}"


def _location(place: Place) -> Location:
    return locations(place.pack, place.entry.offset, place.entry.head)[0][1]


def _hashed(head: RecordHead, plain: memoryview) -> Iterator[tuple[ChunkId, memoryview]]:
    at = 0
    for member in head.members:
        piece = plain[at : at + member.length]
        if ChunkId.of(piece) != member.id:
            raise CorruptError("content hash does not match")
        yield member.id, piece
        at += member.length
