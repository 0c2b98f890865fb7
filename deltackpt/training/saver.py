"""From a live state to a commit under way: the snapshot's memory, the writer, and what becomes of each save."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from deltackpt.errors import InvalidInputError, LimitError
from deltackpt.ids import CommitId
from deltackpt.training.background import Background, ProcessWriter, ThreadWriter
from deltackpt.training.buffer import Buffer
from deltackpt.training.job import Job, Opening, Outcome
from deltackpt.training.memory import room
from deltackpt.training.snapshot import Copied, Description, Layout, Target, copy

log = logging.getLogger("deltackpt")

Worker = Literal["process", "thread"]
Memory = Literal["auto", "low"]


@dataclass(frozen=True, slots=True)
class Request:
    """What a save is to become, beside its tensors; as in :class:`deltackpt.training.job.Job`."""

    run: str
    branch: str
    step: int
    metrics: dict[str, float]
    message: str
    config: bytes
    meta: bytes
    parent: bytes = b""
    clean: bool = True


@dataclass(frozen=True, slots=True)
class Saved:
    """A save that ended: its commit, or what went wrong. ``stall`` is how long the training waited, in seconds."""

    request: Request
    stall: float
    outcome: Outcome

    @property
    def commit(self) -> CommitId | None:
        return CommitId(self.outcome.commit) if self.outcome.commit else None


@dataclass(slots=True)
class _UnderWay:
    """A snapshot on its way: handed to the writer as soon as its copy is complete."""

    job: Job
    request: Request
    target: Target
    copied: Copied
    stall: float
    handed: bool = False


class Saver:
    """Takes one snapshot at a time. ``head`` is where the branch stands, as far as this run knows."""

    def __init__(
        self, opening: Callable[[bool], Opening], worker: Worker, memory: Memory, head: CommitId | None
    ) -> None:
        if worker not in ("process", "thread"):
            raise InvalidInputError(f"worker is 'process' or 'thread', not {worker!r}")
        if memory not in ("auto", "low"):
            raise InvalidInputError(f"memory is 'auto' or 'low', not {memory!r}")
        self._opening = opening
        self._shared = worker == "process" and hasattr(os, "memfd_create")
        self._memory = memory
        self.head = head
        self._description = Description()
        self._background: Background | None = None
        self._targets: dict[int, Target] = {}
        self._populating: dict[int, threading.Thread] = {}
        self._buffers = 0
        self._number = 0
        self._free = 0
        self._under_way: _UnderWay | None = None

    @property
    def busy(self) -> bool:
        """Whether a save is under way."""
        return self._under_way is not None

    @property
    def background(self) -> Background | None:
        """The writer, once there is one."""
        return self._background

    def take(self, state: Any, request: Request) -> float:
        """Copy ``state`` and begin to write it; returns after the copy, with the seconds it took. Not while busy."""
        assert self._under_way is None
        began = time.perf_counter()
        laid_out, rows = self._description.of(state)
        target = self._target(laid_out.nbytes)
        copied = copy(rows, laid_out, target)
        stall = time.perf_counter() - began
        self._number += 1
        job = self._job(laid_out, target, request)
        self._under_way = _UnderWay(job, request, target, copied, stall)
        self._hand_over()
        return stall

    def ended(self, timeout: float | None = 0) -> Saved | None:
        """What became of the save under way, when that is known within ``timeout`` seconds."""
        if self._under_way is None:
            return None
        if timeout is None or timeout > 0:
            self._under_way.copied.wait()
        self._hand_over()
        if not self._under_way.handed:
            return None
        assert self._background is not None
        outcome = self._background.outcome(timeout)
        if outcome is None:
            return None
        under_way, self._under_way = self._under_way, None
        if outcome.commit:
            self.head = CommitId(outcome.commit)
            # The bases of the next deltas lie in this buffer; after a failure they still lie in the other one.
            self._free = (under_way.target.buffer.number + 1) % self._buffers
        return Saved(under_way.request, under_way.stall, outcome)

    def tidy(self) -> None:
        """Let the writer apply the policy once more, and wait for that. Not while busy."""
        if self._background is not None:
            self._background.tidy()

    def close(self) -> None:
        """Give everything back; a save under way is lost unless :meth:`ended` was waited for."""
        if self._background is not None:
            self._background.close()
        for thread in self._populating.values():
            thread.join()
        for target in self._targets.values():
            target.unpin()
            target.buffer.close()
        self._background, self._under_way = None, None
        self._targets.clear()

    def _hand_over(self) -> None:
        under_way = self._under_way
        if under_way is not None and not under_way.handed and under_way.copied.complete:
            assert self._background is not None
            self._background.submit(under_way.job, under_way.target.buffer)
            under_way.handed = True

    def _job(self, laid_out: Layout, target: Target, request: Request) -> Job:
        return Job(
            number=self._number,
            buffer=target.buffer.number,
            run=request.run,
            parts=laid_out.parts,
            branch=request.branch,
            expected=self.head or b"",
            parent=request.parent,
            step=request.step,
            metrics=request.metrics,
            message=request.message,
            config=request.config,
            meta=request.meta,
            clean=request.clean,
        )

    def _target(self, nbytes: int) -> Target:
        """The buffer that the last commit does not need; room for both is taken with the first."""
        if not self._buffers:
            self._begin(nbytes)
        number = self._free
        if number in self._populating:
            self._populating.pop(number).join()
        target = self._targets.get(number)
        if target is None or target.buffer.size < nbytes:
            target = self._replaced(number, nbytes)
            target.buffer.populate()
            other = (number + 1) % self._buffers
            if other not in self._targets:
                self._populating[other] = self._replaced(other, nbytes).buffer.populate_aside()
        return target

    def _replaced(self, number: int, nbytes: int) -> Target:
        if number in self._targets:
            old = self._targets.pop(number)
            old.unpin()
            old.buffer.close()
        self._targets[number] = Target(Buffer(number, nbytes, shared=self._shared))
        return self._targets[number]

    def _begin(self, nbytes: int) -> None:
        """Decide how many buffers there may be, and start the writer."""
        self._buffers = self._affordable(nbytes)
        opening = self._opening(self._buffers == 2)
        self._background = ProcessWriter(opening) if self._shared else ThreadWriter(opening)

    def _affordable(self, nbytes: int) -> int:
        left = room()
        if not left.holds(nbytes):
            raise LimitError(
                f"a snapshot takes {nbytes / 1e6:.0f} MB and {left.limit} leaves {left.free / 1e6:.0f} MB;"
                " raise the limit, or save fewer things"
            )
        double = self._memory == "auto" and left.holds(2 * nbytes)
        if self._memory == "auto" and not double:
            log.warning("memory for one snapshot only under %s: bases of deltas are read from the store", left.limit)
        count = 2 if double else 1
        log.info(
            "snapshots take %d x %.1f MB of the %.1f MB that %s leaves",
            count,
            nbytes / 1e6,
            left.free / 1e6,
            left.limit,
        )
        return count
