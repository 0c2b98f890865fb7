"""The trainer's side of the writer: jobs go out one at a time, outcomes come back, a writer that died is replaced."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol

import deltackpt
from deltackpt.errors import DeltackptError
from deltackpt.training.buffer import Buffer
from deltackpt.training.job import Job, Note, Opening, Outcome
from deltackpt.training.messages import Hello, NewBuffer, Tidy, Work
from deltackpt.training.wire import PeerGoneError, Wire

if TYPE_CHECKING:
    from deltackpt.training.committer import Committer

log = logging.getLogger("deltackpt")

# A writer may be taken by whatever frees memory; a snapshot that takes it every time is given up.
MAX_DEATHS = 3
CLOSING_SECONDS = 5.0


class Background(Protocol):
    """Where snapshots are committed while the training goes on; one job at a time."""

    def submit(self, job: Job, buffer: Buffer) -> None:
        """Begin a job; ``buffer`` stays as it is until its outcome is known, and the one before until then, too."""
        ...

    def outcome(self, timeout: float | None) -> Outcome | None:
        """What became of the job, when that is known within ``timeout`` seconds."""
        ...

    def tidy(self) -> None:
        """Apply the policy to the end; not while a job is under way."""
        ...

    def close(self) -> None:
        """End at once; a job under way is lost unless its outcome was waited for."""
        ...


class ThreadWriter:
    """A thread of this process."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._jobs: queue.SimpleQueue[tuple[Job, Buffer] | threading.Event | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, job: Job, buffer: Buffer) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="deltackpt-writer", daemon=True)
            self._thread.start()
        self._jobs.put((job, buffer))

    def outcome(self, timeout: float | None) -> Outcome | None:
        try:
            return self._outcomes.get(timeout=timeout) if timeout != 0 else self._outcomes.get_nowait()
        except queue.Empty:
            return None

    def tidy(self) -> None:
        if self._thread is not None:
            tidied = threading.Event()
            self._jobs.put(tidied)
            tidied.wait()

    def close(self) -> None:
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _serve(self) -> None:
        from deltackpt.training.committer import Committer

        committer = Committer(self._opening)
        while work := self._jobs.get():
            if isinstance(work, threading.Event):
                _clean(committer, thoroughly=True)
                work.set()
                continue
            job, buffer = work
            self._outcomes.put(committer.run(job, buffer.view))
            if job.clean:
                _clean(committer)
        committer.close()


class ProcessWriter:
    """A process beside this one, started with the first job; see :mod:`deltackpt.training.worker`."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None
        self._buffers: dict[int, Buffer] = {}
        self._known: dict[int, Buffer] = {}
        self._job: Job | None = None
        self._deaths = 0

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    def submit(self, job: Job, buffer: Buffer) -> None:
        self._buffers[buffer.number] = buffer
        self._job, self._deaths = job, 0
        self._hand_over()

    def outcome(self, timeout: float | None) -> Outcome | None:
        until = None if timeout is None else time.monotonic() + timeout
        while self._job is not None:
            outcome = self._next(None if until is None else max(0.0, until - time.monotonic()))
            if isinstance(outcome, Outcome):
                self._job = None
                return outcome
            if outcome is None and until is not None and time.monotonic() >= until:
                return None
        return None

    def tidy(self) -> None:
        if self._wire is None:
            return
        with contextlib.suppress(PeerGoneError):
            self._wire.send(Tidy())
            while received := self._wire.receive(Outcome | Note):
                if received[0].text:
                    tell(received[0])
                if received[0].final:
                    return

    def close(self) -> None:
        self._end()

    def _next(self, timeout: float | None) -> Outcome | Note | None:
        """The next word of the process; a new process begins the job again when there is none any more."""
        assert self._job is not None
        try:
            assert self._wire is not None
            received = self._wire.receive(Outcome | Note, timeout)
        except PeerGoneError:
            return self._bury()
        if received is None:
            return None
        message: Outcome | Note = received[0]
        if isinstance(message, Note):
            tell(message)
        return message

    def _bury(self) -> Outcome | None:
        assert self._job is not None
        code = self._end()
        self._deaths += 1
        if self._deaths >= MAX_DEATHS:
            text = f"the writer process ended {MAX_DEATHS} times over one snapshot, last with {_fate(code)}"
            return Outcome(self._job.number, error=DeltackptError.__name__, text=text)
        log.warning("the writer process ended with %s; another one takes the snapshot", _fate(code))
        self._hand_over()
        return None

    def _hand_over(self) -> None:
        assert self._job is not None
        try:
            wire = self._started()
            buffer = self._buffers[self._job.buffer]
            if self._known.get(buffer.number) is not buffer:
                assert buffer.fd is not None
                wire.send(NewBuffer(buffer.number, buffer.size), [buffer.fd])
                self._known[buffer.number] = buffer
            wire.send(Work(self._job))
        except PeerGoneError:
            # The next look for its outcome finds nobody there, and counts that.
            return

    def _started(self) -> Wire:
        if self._wire is None:
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-P", "-m", "deltackpt.training.worker", str(theirs.fileno())]
                # A process group of its own: Ctrl-C is the trainer's to decide about.
                self._process = subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], env=_environment(), stdin=subprocess.DEVNULL, process_group=0
                )
            self._wire = Wire(ours)
            self._wire.send(Hello(self._opening))
        return self._wire

    def _end(self) -> int | None:
        """Close our end, and see the process out; returns how it ended."""
        if self._wire is not None:
            self._wire.close()
        process, self._wire, self._process, self._known = self._process, None, None, {}
        if process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(CLOSING_SECONDS)
        process.kill()
        return process.wait()


def _clean(committer: Committer, *, thoroughly: bool = False) -> None:
    if note := committer.clean(thoroughly=thoroughly):
        tell(note)


def tell(note: Note) -> None:
    """A word of the writer, through logging."""
    log.log(logging.WARNING if note.warning else logging.INFO, "%s", note.text)


def _environment() -> dict[str, str]:
    """This process's, with the package where the new one finds it."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(deltackpt.__file__)))
    paths = [path for path in (os.environ.get("PYTHONPATH"), home) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _fate(code: int | None) -> str:
    if code is None:
        return "an unknown end"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
