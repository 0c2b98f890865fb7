"""Reads, writes and flushes that fail below a real file system: one typed error, and nothing acknowledged is lost."""

from __future__ import annotations

import errno
import itertools
import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from apart import succeeds
from crash_scenarios import ONE_THREAD, State, age, large, small
from disks_that_tell import MAKE, Device, extents, memory, mounted, program, recording
from faulty import Fault
from figures import note

from deltackpt import Store

NEVER = Fault("none", 1, errno.EIO, False)

# Each line is a step that is acknowledged, but for the last one, which is what went wrong, if anything did.
WRITER = """
import json, sys
from crash_scenarios import ONE_THREAD, large, small, small_files
from test_block_errors import state_of
from deltackpt import DeltackptError, Store
root, first = sys.argv[1], int(sys.argv[2])
try:
    with small_files(), Store(root, options=ONE_THREAD) as store:
        for step in range(first, first + 3):
            store.commit(state_of(step), step=step)
            print(json.dumps(step), flush=True)
        store.commit(large(first + 100), branch="dev")
        store.delete_branch("dev")
        store.gc()
except DeltackptError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""

READER = """
import json, sys
from crash_scenarios import ONE_THREAD
from test_block_errors import check_line
from deltackpt import DeltackptError, Store
try:
    with Store(sys.argv[1], options=ONE_THREAD) as store:
        check_line(store)
except DeltackptError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def state_of(step: int) -> State:
    """What the store holds for a step, by turns in a log record and in a pack."""
    return large(step) if step % 2 else small(step)


def check_line(store: Store) -> int:
    """Each step from 0 on is there with its bytes; how many there are."""
    line = list(store.log("main"))
    assert [commit.step for commit in line] == list(range(len(line)))[::-1]
    for commit in line:
        assert commit.step is not None
        assert bytes_of(store.load(commit)) == bytes_of(state_of(commit.step))
    return len(line)


def bytes_of(state: State) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in state.items()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The steps that a process acknowledged, and the type and text of the error that ended it, if one did.

    ``killed`` when a page of the index could not be read: LMDB maps its file, and the kernel knows no gentler way.
    """

    steps: list[int]
    error: tuple[str, str] | None
    killed: bool


def outcome(code: str, *arguments: str | Path) -> Outcome:
    """Run a process: it ends with nothing but a typed error of one line, or by a page of the index."""
    done = program(code, *arguments)
    assert done.returncode in (0, -signal.SIGBUS), (done.returncode, done.stderr)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    errors = [line for line in lines if isinstance(line, list)]
    for _, text in errors:
        assert "\n" not in text
        assert text
    steps = [line for line in lines if isinstance(line, int)]
    return Outcome(steps, tuple(errors[0]) if errors else None, done.returncode != 0)


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory() as made:
        yield made


@dataclass
class Patient:
    """A store on a disk that fails time and again. ``length`` is how many steps it holds for certain."""

    device: Device
    place: Path
    length: int = 0
    refused: int = 0
    killed: int = 0

    @property
    def root(self) -> str:
        return str(self.place / "store")

    def begin(self) -> None:
        with mounted(self.device.disk, self.place):
            Store.init(self.root, options=ONE_THREAD).close()
            self.length = len(outcome(WRITER, self.root, "0").steps)

    def write(self, fault: Fault) -> None:
        """Commit and collect on the disk that fails, then mount it again and find all that was acknowledged."""
        with mounted(self.device.disk, self.place):
            self.device.fail(fault)
            done = outcome(WRITER, self.root, str(self.length))
        self._count(done)
        least = self.length + len(done.steps)
        with mounted(self.device.disk, self.place):
            assert succeeds(lambda: self._check(least, done)), (fault, done)
            with Store(self.root, options=ONE_THREAD) as store:
                self.length = check_line(store)

    def _check(self, least: int, done: Outcome) -> None:
        age(self.root)
        with Store(self.root, options=ONE_THREAD) as store:
            unknown = done.killed or (done.error is not None and done.error[0] == "UnknownOutcomeError")
            assert check_line(store) in ((least, least + 1) if unknown else (least,))
            assert store.verify(data=True).problems == []
            store.commit(state_of(0), branch="other")
            store.gc()
            assert store.verify().problems == []

    def read(self, fault: Fault) -> None:
        """Read everything from the disk that fails, none of it in memory: right bytes or a typed error."""
        with mounted(self.device.disk, self.place):
            self.device.fail(fault)
            done = outcome(READER, self.root)
        self._count(done)

    def _count(self, done: Outcome) -> None:
        self.device.fail(NEVER)
        self.refused += done.error is not None
        self.killed += done.killed


def suffer(folder: Path, system: str, faults: Sequence[Fault]) -> tuple[int, int]:
    """Live through faults one after another; how many of them somebody was told of, and how many ended a process."""
    with recording(folder / "device", system) as device:
        patient = Patient(device, folder / "place")
        patient.begin()
        for fault in faults:
            (patient.read if fault.call == "read" else patient.write)(fault)
        return patient.refused, patient.killed


def failing(call: str, numbers: Sequence[int]) -> list[Fault]:
    return [Fault(call, nth, errno.EIO, sticky) for nth, sticky in itertools.product(numbers, (False, True))]


@pytest.mark.parametrize("system", MAKE)
def test_errors_of_the_disk_below_a_file_system(folder: Path, system: str) -> None:
    faults = [*failing("write", [20]), *failing("flush", [10])]
    refused, killed = suffer(folder, system, faults)
    assert refused >= 2
    assert not killed


@pytest.mark.parametrize("system", MAKE)
def test_a_disk_that_cannot_be_read(folder: Path, system: str) -> None:
    refused, _ = suffer(folder, system, [Fault("read", nth, errno.EIO, True) for nth in (1, 3, 5)])
    assert refused >= 1


@pytest.mark.parametrize("system", MAKE)
def test_a_page_of_the_index_that_cannot_be_read(folder: Path, system: str) -> None:
    """It is noticed before it is touched, and the index is built again from the log."""
    with recording(folder / "device", system) as device:
        patient = Patient(device, folder / "place")
        patient.begin()
        for share in (0.0, 0.3, 0.6, 0.9):
            with mounted(device.disk, patient.place):
                pages = [at for place in extents(index_file(patient)) for at in range(place.start, place.stop, 4096)]
            bad = pages[int(share * len(pages))]
            device.spoil(range(bad, bad + 4096))
            with mounted(device.disk, patient.place):
                assert outcome(READER, patient.root) == Outcome([], None, killed=False)


def index_file(patient: Patient) -> Path:
    (found,) = Path(patient.root).glob("index/**/data.mdb")
    return found


@pytest.mark.campaign
@pytest.mark.parametrize("system", MAKE)
@pytest.mark.parametrize("call", ["read", "write", "flush"])
def test_errors_of_the_disk_below_a_file_system_at_length(folder: Path, system: str, call: str) -> None:
    faults = failing(call, range(1, 16))
    refused, killed = suffer(folder, system, faults)
    assert call == "read" or not killed
    note(f"block level, {system}: {len(faults)} faults of {call}, {refused} told of, {killed} ended a process")
