"""Checking a store: is everything there, does every byte match its checksum, does every chunk decode to its hash.

Quick looks at the log, the frame of every pack, and whether every chunk that a commit needs has a place.
With data, every record is read and every chunk that a commit needs is decoded and hashed, on all cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field

from deltackpt.chunkstore.location import inline_record
from deltackpt.chunkstore.pack import read_entries
from deltackpt.chunkstore.plain_cache import CommitPlains
from deltackpt.chunkstore.reader import ChunkReader
from deltackpt.errors import CorruptError, DeltackptError
from deltackpt.history.manifest import Manifests
from deltackpt.history.repository import Repository
from deltackpt.history.walk import all_commits, part_chunks
from deltackpt.ids import ChunkId, PackId

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was written. ``affects`` names commits and tensors, as far as they are known."""

    what: str
    affects: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """What a check looked at and what it found."""

    commits: int = 0
    packs: int = 0
    chunks: int = 0
    checked_bytes: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def verify(repository: Repository, *, data: bool = False, progress: Progress | None = None) -> Report:
    """Check the whole store; changes nothing. ``progress`` hears (chunks done, chunks in all) with ``data``."""
    report = Report()
    _check_log(repository, report)
    _check_packs(repository, report)
    # A reader of its own: what is in memory already says nothing about what is on the disk.
    with closing(ChunkReader(repository.chunks, CommitPlains(0))) as reader:
        needed = _needed_chunks(repository, Manifests(reader), report)
        report.chunks = len(needed)
        if data:
            _check_data(repository, reader, needed, report, progress)
        else:
            _check_places(repository, needed, report)
    return report


def _check_log(repository: Repository, report: Report) -> None:
    log = repository.chunks.log
    try:
        for _ in log.every():
            pass
    except DeltackptError as error:
        report.problems.append(Problem(str(error)))


def _check_packs(repository: Repository, report: Report) -> None:
    chunks = repository.chunks
    for pack, row in chunks.look_now(lambda view: view.packs()).items():
        report.packs += 1
        path = chunks.layout.pack(pack)
        try:
            entries = read_entries(chunks.disk, path, pack)
            if len(entries) != row.records or chunks.disk.size(path) != row.size:
                raise CorruptError(f"pack {pack.short} ({path}) is not the one that was published")
        except FileNotFoundError:
            # A gc that is at work beside us says so before it unlinks.
            if chunks.look_now(lambda view, pack=pack: view.pack(pack)) is not None:  # type: ignore[misc]
                report.problems.append(Problem(f"pack {pack.short} ({path}) is missing"))
        except DeltackptError as error:
            report.problems.append(Problem(str(error)))


def _needed_chunks(repository: Repository, manifests: Manifests, report: Report) -> dict[ChunkId, str]:
    """Every chunk that some commit needs, with the first place that needs it; broken manifests are problems."""
    needed: dict[ChunkId, str] = {}
    seen: set[bytes] = set()
    for commit in all_commits(repository):
        report.commits += 1
        for part in commit.parts:
            if part.id in seen:
                continue
            seen.add(part.id)
            place = f"commit {commit.description}, part {part.name!r}"
            try:
                for chunk, tensor in part_chunks(manifests, part.id):
                    needed.setdefault(chunk, f"{place}, tensor {tensor!r}" if tensor else place)
            except (DeltackptError, ValueError) as error:
                report.problems.append(Problem(str(error), (place,)))
    return needed


def _check_places(repository: Repository, needed: dict[ChunkId, str], report: Report) -> None:
    places = repository.reader.locate(needed)
    packs: set[PackId] = set(repository.chunks.look(lambda view: view.packs()))
    for chunk, wanted_by in needed.items():
        place = places.get(chunk)
        if place is None:
            report.problems.append(Problem(f"chunk {chunk.short} is in no pack", (wanted_by,)))
        elif place.pack not in packs and inline_record(place.pack) is None:
            report.problems.append(
                Problem(f"chunk {chunk.short} lies in unknown pack {place.pack.short}", (wanted_by,))
            )


def _check_data(
    repository: Repository, reader: ChunkReader, needed: dict[ChunkId, str], report: Report, progress: Progress | None
) -> None:
    running: deque[tuple[Future[int], str]] = deque()
    done = 0

    def drain(ahead: int) -> None:
        nonlocal done
        while len(running) > ahead:
            job, wanted_by = running.popleft()
            try:
                report.checked_bytes += job.result()
            except DeltackptError as error:
                report.problems.append(Problem(str(error), (wanted_by,)))
            done += 1
            if progress is not None:
                progress(done, len(needed))

    for chunk, wanted_by in needed.items():
        running.append((repository.executor.submit(_plain_size, reader, chunk), wanted_by))
        drain(repository.ahead)
    drain(0)


def _plain_size(reader: ChunkReader, chunk: ChunkId) -> int:
    return len(reader.read(chunk))
