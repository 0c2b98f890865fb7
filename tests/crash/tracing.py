"""The calls that a process made to the system, LMDB's among them, as the steps of a recording.

The process runs under ``strace``. What it acknowledges it writes, a line of JSON each time, to a file beside the store.
A call that changes a file and is not understood here is an error: the recorder must not be blind.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from crash_scenarios import EMPTY, Known
from recording import Acknowledged, Recorder, Step

from deltackpt.fs.disk import Disk

CALLS = (
    "openat,creat,lseek,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,"
    "link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,truncate,ftruncate,fallocate,msync,copy_file_range,sendfile"
)
ACKNOWLEDGED = "acknowledged"

PROGRAM = """
import sys
sys.path[:0] = sys.argv[1:4]
from crash_scenarios import SCENARIOS, Life, small_files
from tracing import TellingDisk
with small_files():
    SCENARIOS[sys.argv[4]](Life(TellingDisk(*sys.argv[5:])))
"""


class TellingDisk(Disk):
    """Writes what it acknowledges to the file ``told``, a line each time, for whoever reads that or the trace."""

    def __init__(self, root: str, told: str) -> None:
        self.root = root
        self._told: set[str] = set()
        self._fd = os.open(told, os.O_WRONLY | os.O_CREAT)

    def acknowledge(self, known: Known) -> None:
        new = {
            commit: {name: value.tobytes().hex() for name, value in state.items()}
            for commit, state in known.states.items()
            if commit not in self._told
        }
        self._told |= new.keys()
        os.write(self._fd, f"{json.dumps([known.refs, new])}\n".encode())


def heard(line: bytes, known: Known) -> Known:
    """What is known after a line of a ``TellingDisk``, to one who knew ``known`` before."""
    refs, new = json.loads(line)
    states = {
        commit: {name: np.frombuffer(bytes.fromhex(value), np.uint8) for name, value in state.items()}
        for commit, state in new.items()
    }
    return Known(refs, {**known.states, **states})


def trace(scenario: str, root: str) -> str:
    """Live through ``scenario`` at ``root`` under a tracer; returns the file of the trace."""
    os.makedirs(os.path.dirname(root))
    written = f"{root}.trace"
    tests = Path(__file__).parents[1]
    told = os.path.join(os.path.dirname(root), ACKNOWLEDGED)
    program = [sys.executable, "-c", PROGRAM, tests.parent, tests, tests / "crash", scenario, root, told]
    tracer = ["strace", "-f", "-qq", "-y", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-o", written]
    subprocess.run([*tracer, *program], check=True)
    return written


def steps_of(written: str, root: str, forgotten: str = r"(?!)") -> list[Step]:
    """The steps in a trace of what happened at ``root``, but for syncs of what ``forgotten`` matches."""
    reading = _Reading(root, re.compile(forgotten))
    with open(written, encoding="ascii") as lines:
        for call in _calls(lines):
            reading.take(call)
    return reading.recorder.steps


def _calls(lines: Iterable[str]) -> Iterator[re.Match[str]]:
    """Calls that succeeded, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in lines:
        thread, rest = line.strip().split(maxsplit=1)
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
            continue
        if rest.startswith("<... "):
            rest = begun.pop(thread) + rest.partition(" resumed>")[2]
        call = re.fullmatch(r"(?P<name>\w+)\((?P<arguments>.*)\)\s+= (?P<result>\d+)(?P<opened><.*>)?", rest)
        if call is not None:
            yield call


def _text(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


class _Reading:
    """Follows descriptors and names through a trace."""

    def __init__(self, root: str, forgotten: re.Pattern[str]) -> None:
        self.recorder = Recorder(root)
        self._forgotten = forgotten
        self._beside = os.path.join(os.path.dirname(root), ACKNOWLEDGED)
        # Where the next write to a descriptor goes that names no offset; and which are synced by writing.
        self._places: Counter[int] = Counter()
        self._durable: set[int] = set()
        self._known = EMPTY

    def take(self, call: re.Match[str]) -> None:
        name, arguments = call["name"], call["arguments"]
        paths = [os.fsdecode(_text(found)) for found in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', arguments)]
        if name == "openat":
            self._opened(int(call["result"]), paths[0], arguments)
        elif name.startswith(("rename", "link", "unlink", "mkdir", "rmdir")):
            self._named(name, paths, arguments)
        else:
            self._on_descriptor(name, arguments, int(call["result"]))

    def _is_ours(self, path: str) -> bool:
        return path == self.recorder.root or path.startswith(f"{self.recorder.root}/")

    def _opened(self, fd: int, path: str, arguments: str) -> None:
        if not self._is_ours(path):
            return
        assert "O_TRUNC" not in arguments, arguments
        if "O_CREAT" in arguments and self.recorder.file(path) is None:
            self.recorder.created(path)
        self._places[fd] = 0
        self._durable.discard(fd)
        if "SYNC" in arguments:
            self._durable.add(fd)

    def _named(self, name: str, paths: list[str], arguments: str) -> None:
        if not self._is_ours(paths[-1]):
            return
        assert all(map(os.path.isabs, paths)), arguments
        match name:
            case "rename" | "renameat" | "renameat2":
                self.recorder.renamed(*paths)
            case "link" | "linkat":
                self.recorder.linked(*paths)
            case "mkdir" | "mkdirat":
                self.recorder.made_directory(paths[0])
            case "rmdir":
                self.recorder.removed_directory(paths[0])
            case _ if "AT_REMOVEDIR" in arguments:
                self.recorder.removed_directory(paths[0])
            case _:
                self.recorder.unlinked(paths[0])

    def _on_descriptor(self, name: str, arguments: str, result: int) -> None:
        described = re.match(r"(\d+)<((?:\\x[0-9a-f]{2})*)>", arguments)
        assert described is not None, (name, arguments[:200])
        fd, path = int(described[1]), os.fsdecode(_text(described[2]))
        if path == self._beside:
            self._acknowledged(_payload(arguments)[:result])
        elif self._is_ours(path):
            self._changed(name, fd, path, arguments, result)

    def _changed(self, name: str, fd: int, path: str, arguments: str, result: int) -> None:
        match name:
            case "fsync" | "fdatasync":
                self._synced(path)
            case "lseek":
                self._places[fd] = result
            case "write" | "writev":
                self._written(fd, path, self._places[fd], _payload(arguments)[:result])
                self._places[fd] += result
            case "pwrite64" | "pwritev":
                self._written(fd, path, int(arguments.rpartition(", ")[2]), _payload(arguments)[:result])
            case _:
                # Room that is set aside holds nothing.
                assert name == "fallocate", (name, arguments[:200])
                assert "/reserve/" in path, path

    def _written(self, fd: int, path: str, offset: int, data: bytes) -> None:
        file = self.recorder.file(path)
        assert file is not None, path
        self.recorder.written(file, offset, data)
        if fd in self._durable:
            self._synced(path)

    def _synced(self, path: str) -> None:
        if self._forgotten.search(path):
            return
        file = self.recorder.file(path)
        if file is None:
            self.recorder.folder_synced(path)
        else:
            self.recorder.synced(file)

    def _acknowledged(self, line: bytes) -> None:
        self._known = heard(line, self._known)
        self.recorder.steps.append(Acknowledged(self._known))


def _payload(arguments: str) -> bytes:
    """The bytes of a write, of one piece or several."""
    return b"".join(_text(found) for found in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', arguments))
