"""Trainings as programs of their own, to be signalled, starved and killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from patience import PATIENCE, until

HERE = Path(__file__).parent

# An unguarded script, as people write them: whatever imports it or runs it a second time leaves a trace.
SCRIPT = """
import os, sys, time
with open({trace!r}, "a") as trace:
    trace.write("run\\n")
import logging
logging.basicConfig(level=logging.INFO, format="%(message)s")
import torch, trainee, deltackpt
{before}
run = trainee.made()
with trainee.checkpointer(run, {store!r}, **dict({options})) as ckpt:
    start = ckpt.resume()
    print("start", start, flush=True)
    for step in ckpt.steps({steps}):
        run.train_step()
        {body}
        print("step", step, flush=True)
print("after", flush=True)
"""


class Program:
    """A training script in its own process. ``body`` is one line at the end of each step."""

    def __init__(
        self,
        folder: Path,
        *,
        steps: int,
        body: str = "pass",
        options: str = "every=5",
        before: str = "",
        flags: str = "",
    ) -> None:
        self.store = folder / "store"
        self.trace = folder / "trace"
        script = folder / "script.py"
        script.write_text(
            SCRIPT.format(
                trace=str(self.trace), store=str(self.store), steps=steps, body=body, options=options, before=before
            )
        )
        self._errors = (folder / "stderr.txt").open("a+")
        environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}"}
        self.process = subprocess.Popen(
            [sys.executable, *flags.split(), str(script)],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            cwd=folder,
        )

    def until(self, line: str) -> None:
        """Wait for a line of its output."""
        assert self.process.stdout is not None
        for said in self.process.stdout:
            if said.strip() == line:
                return
        raise AssertionError(f"ended without {line!r}: {self.errors}")

    def end(self) -> tuple[int, list[str]]:
        """Its exit code, and the rest of what it said."""
        assert self.process.stdout is not None
        rest = self.process.stdout.read().splitlines()
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return code, rest

    @property
    def errors(self) -> str:
        self._errors.flush()
        return Path(self._errors.name).read_text()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *problem: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()


def children(pid: int) -> list[int]:
    """Processes that ``pid`` started and that are there."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # Threads end meanwhile, and so do children.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in (task / "children").read_text().split():
                if b"training.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def writer() -> int:
    """The one writer that this process has now."""
    (pid,) = children(os.getpid())
    return pid


@contextlib.contextmanager
def stopped_writer() -> Iterator[None]:
    """The writer of this process does nothing within the block."""
    pid = writer()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, though nobody may have asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def await_end(pid: int) -> None:
    """Until a process has ended."""
    until(lambda: is_gone(pid))
