"""From a snapshot in memory to a commit, and then what the policy deletes: the work beside the training.

The buffer of the last snapshot holds the bases of the next one's deltas, so nothing is read back from the disk.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import msgspec

from deltackpt.chunkstore.plain_cache import CommitPlains
from deltackpt.chunkstore.plains import LentPlains
from deltackpt.commit.commit import commit
from deltackpt.commit.request import CommitRequest, Expected
from deltackpt.commit.start import BranchMovedError
from deltackpt.content.content import Content, ContentPart
from deltackpt.errors import DeltackptError, StorageError, public_kind
from deltackpt.fs.disk import DiskFullError
from deltackpt.history.commits import Commit
from deltackpt.history.refs import Branch
from deltackpt.history.repository import Options, Repository
from deltackpt.ids import ChunkId, CommitId
from deltackpt.maintenance.archive import archive_when_long
from deltackpt.maintenance.gc import collect
from deltackpt.maintenance.keep import Keep
from deltackpt.maintenance.prune import prune
from deltackpt.skeleton.capture import CapturedTensor
from deltackpt.tensor.dtype import DType, dtype_named
from deltackpt.training.job import Job, Note, Opening, Outcome, Row, run_of

# Cleaning may take this share of the time, so that a policy costs no more in a large store than in a small one.
CLEANING_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class BufferSource:
    """A tensor of a snapshot."""

    dtype: DType
    shape: tuple[int, ...]
    plain: memoryview

    def read(self, start: int, stop: int) -> memoryview:
        return self.plain[start:stop]

    def release(self) -> None:
        """The buffer is the trainer's."""


class Committer:
    """Works on one store, for one trainer. Not for several threads at once."""

    def __init__(self, opening: Opening) -> None:
        self._lent = LentPlains() if opening.lend else None
        self._opening = opening
        self._opened: Repository | None = None
        self._keep = None if opening.keep is None else Keep.from_toml(opening.keep)
        self._next_cleaning = 0.0

    def run(self, job: Job, memory: memoryview) -> Outcome:
        """Commit what lies in ``memory``, which stays as it is until the commit after this one has ended."""
        began = time.monotonic()
        try:
            made = self._commit(job, memory)
        except Exception as error:  # noqa: BLE001 - the trainer must hear of a defect, too
            return Outcome(job.number, error=_kind(error), text=_said(error), seconds=time.monotonic() - began)
        seconds = time.monotonic() - began
        return Outcome(job.number, made.id, made.logical_bytes, made.stored_bytes, seconds, made.healthy)

    def clean(self, *, thoroughly: bool = False) -> Note | None:
        """Delete what the policy does not keep, now that the newer commit is durable; never a reason to fail.

        Now and then, so that it costs no more than its share of the time; ``thoroughly`` does it in any case.
        """
        if self._keep is None or (time.monotonic() < self._next_cleaning and not thoroughly):
            return None
        began = time.monotonic()
        try:
            return self._cleaned(self._keep)
        except Exception as error:  # noqa: BLE001 - a defect must not end the writer either
            return Note(f"the policy could not be applied: {_said(error)}", warning=True)
        finally:
            self._next_cleaning = time.monotonic() + (time.monotonic() - began) / CLEANING_SHARE

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    @property
    def _repository(self) -> Repository:
        """Opened with the first job, so that what goes wrong is the outcome of a job."""
        if self._opened is None:
            opening = self._opening
            options = Options(threads=opening.threads, cache_bytes=0, chain_budget=opening.chain_budget)
            self._opened = Repository(opening.path, options, _nobody, cache=self._lent or CommitPlains(0))
        return self._opened

    def _commit(self, job: Job, memory: memoryview) -> Commit:
        content = _content(job, memory)
        try:
            made = self._once_published(job, content)
        except DiskFullError:
            self._make_room()
            made = self._once_published(job, content)
        if self._lent is not None:
            self._lent.lend(dict(self._chunks(made, content)))
        archive_when_long(self._repository)
        return made

    def _once_published(self, job: Job, content: Content) -> Commit:
        """The commit; where a writer that died had published for this run already, that one or the one after it."""
        try:
            return commit(self._repository, content, self._request(job, job.expected))
        except BranchMovedError as error:
            theirs = None if error.theirs is None else self._repository.resolve(error.theirs)
            if theirs is None or run_of(theirs) != job.run:
                raise BranchMovedError(self._advice(error, job.branch), error.ours, error.theirs) from error
        if theirs.step == job.step:
            return theirs
        return commit(self._repository, content, self._request(job, theirs.id))

    def _request(self, job: Job, head: bytes) -> CommitRequest:
        expected = CommitId(head) if head else None
        parent = self._repository.resolve(CommitId(job.parent)) if job.parent else None
        return CommitRequest(
            step=job.step,
            metrics=job.metrics,
            message=job.message,
            branch=job.branch,
            parent=parent,
            config=_decoded(job.config),
            meta=_decoded(job.meta),
            expected=Expected(expected),
            environment=self._opening.environment,
        )

    def _chunks(self, made: Commit, content: Content) -> Iterator[tuple[ChunkId, memoryview]]:
        """Every chunk of the commit, where it lies in the snapshot."""
        for entry, part in zip(made.parts, content.parts, strict=True):
            stored = self._repository.manifests.part(entry.id).tensors
            for tensor, captured in zip(stored, part.tensors, strict=True):
                for chunk, start, stop in tensor.spans():
                    yield chunk, captured.source.read(start, stop)

    def _make_room(self) -> None:
        """The disk is full: apply the policy, and free what nothing needs."""
        if self._keep is not None:
            prune(self._repository, self._keep)
        collect(self._repository)

    def _cleaned(self, keep: Keep) -> Note | None:
        plan = prune(self._repository, keep)
        if not plan.deleted and not plan.thinned:
            return None
        freed = collect(self._repository).freed_bytes
        thinned = len({commit.id for commit, _ in plan.thinned})
        return Note(f"policy: deleted {len(plan.deleted)} commits, thinned {thinned}, freed {freed / 1e6:.1f} MB")

    def _advice(self, error: BranchMovedError, branch: str) -> str:
        taken = self._repository.look(lambda history: history.view.refs())
        names = (f"{branch}-{number}" for number in range(2, 2 + len(taken) + 1))
        free = next(name for name in names if Branch(name).key not in taken)
        return f"{error}; stop one of the two jobs, or go on with Checkpointer(..., branch={free!r})"


def _content(job: Job, memory: memoryview) -> Content:
    return Content(
        tuple(
            ContentPart(part.name, part.skeleton, b"", tuple(_captured(row, memory) for row in part.rows))
            for part in job.parts
        )
    )


def _captured(row: Row, memory: memoryview) -> CapturedTensor:
    dtype = dtype_named(row.dtype)
    plain = memory[row.offset : row.offset + dtype.itemsize * prod(row.shape)].toreadonly()
    return CapturedTensor(row.name, BufferSource(dtype, row.shape, plain))


def _decoded(data: bytes) -> Any:
    return msgspec.msgpack.decode(data, strict=False) if data else None


def _said(error: Exception) -> str:
    known = isinstance(error, DeltackptError | OSError | MemoryError)
    return str(error) if known else f"unexpected {type(error).__name__}: {error}"


def _kind(error: Exception) -> str:
    """The name of the public class of an error."""
    if isinstance(error, OSError):
        return StorageError.__name__
    if not isinstance(error, DeltackptError):
        return DeltackptError.__name__
    return public_kind(error)


def _nobody(done: int, total: int) -> None:
    """Nobody watches."""
