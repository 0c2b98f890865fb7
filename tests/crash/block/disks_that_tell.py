"""Real file systems on a disk that writes down what it does, and the lives of stores on them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from crash_scenarios import MEMORY
from disk_image import Event, Image, events
from faulty import Fault
from tracing import TellingDisk

CRASH = Path(__file__).parents[1]
FOLDERS = [CRASH.parents[1], CRASH.parent, CRASH, CRASH / "block"]
SECONDS = 120

MAKE = {
    "ext4": (
        32 << 20,
        ["mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"],
    ),
    # The smallest that there is.
    "xfs": (300 << 20, ["mkfs.xfs", "-q", "-f", "-K"]),
}


class ForgetfulDisk(TellingDisk):
    """Tells what it acknowledges, and leaves out the sync of whatever ``forgotten`` matches."""

    def __init__(self, root: str, told: str, forgotten: str) -> None:
        super().__init__(root, told)
        self._forgotten = re.compile(forgotten)

    def sync(self, fd: int, path: str) -> None:
        if not self._forgotten.search(path):
            super().sync(fd, path)

    def sync_directory(self, path: str) -> None:
        if not self._forgotten.search(path):
            super().sync_directory(path)


@contextmanager
def memory() -> Iterator[Path]:
    """A folder for images, in memory where there is such a place."""
    made = tempfile.mkdtemp(prefix="deltackpt-block-", dir=MEMORY if os.path.isdir(MEMORY) else None)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)


@dataclass(frozen=True, slots=True)
class Device:
    """A disk that is being recorded: its image as it was at first, what serves it, and where its files are."""

    first: Image
    folder: Path
    served: Path

    @property
    def disk(self) -> Path:
        return self.served / "disk"

    @property
    def told(self) -> Path:
        return self.served / "told"

    def fail(self, fault: Fault) -> None:
        """From now on count the calls ``read``, ``write`` and ``flush``, and fail as ``fault`` says."""
        (self.served / "fault").write_text(json.dumps(asdict(fault)))

    def spoil(self, place: range) -> None:
        """From now on these bytes of the disk, and no others, cannot be read, until they are written again."""
        (self.served / "bad").write_text(json.dumps([place.start, place.stop]))

    def events(self) -> list[Event]:
        return events(self.folder / "log")


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)


def formatted(path: Path, system: str) -> None:
    """Make the file at ``path`` an empty file system."""
    size, make = MAKE[system]
    with path.open("wb") as file:
        file.truncate(size)
    _run([*make, path])


def program(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A process of Python that can import what the tests share, and what it printed."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(), timeout=SECONDS)


def _environment() -> dict[str, str]:
    found = [*map(str, FOLDERS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(found)}


@contextmanager
def recording(folder: Path, system: str) -> Iterator[Device]:
    """A new disk below ``folder`` with the file system ``system`` on it; skips the test where there can be none."""
    served = folder / "served"
    served.mkdir(parents=True)
    try:
        formatted(folder / "image", system)
        with mounted(folder / "image", folder / "probe"):
            pass
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip(f"making and mounting {system} is not possible here")
    first = Image.read(folder / "image")
    server = subprocess.Popen([sys.executable, CRASH / "block" / "device.py", folder, served], env=_environment())
    try:
        while not (served / "disk").exists():
            if server.poll() is not None:
                pytest.skip("a FUSE file system cannot be mounted here")
            time.sleep(0.02)
        yield Device(first, folder, served)
    finally:
        subprocess.run(["umount", "-l", served], check=False, capture_output=True)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextmanager
def mounted(disk: Path, place: Path) -> Iterator[Path]:
    """The file system in the file ``disk``, by way of a loop device that goes when it is unmounted."""
    place.mkdir(exist_ok=True)
    _run(["mount", "-o", "loop", disk, place])
    try:
        yield place
    finally:
        if subprocess.run(["umount", place], check=False, capture_output=True, timeout=SECONDS).returncode:
            _run(["umount", "-l", place])


def extents(path: Path) -> list[range]:
    """Where the bytes of a file lie on the disk of its file system."""
    found = subprocess.run(["filefrag", "-v", "-b1", path], capture_output=True, text=True, check=True).stdout
    places = re.findall(r"^ *\d+: *\d+\.\. *\d+: *(\d+)\.\. *(\d+):", found, re.MULTILINE)
    return [range(int(first), int(last) + 1) for first, last in places]


LIFE = """
import sys
from crash_scenarios import recorded
from disks_that_tell import ForgetfulDisk
scenario, root, told, forgotten = sys.argv[1:]
recorded(scenario, root, lambda root: ForgetfulDisk(root, told, forgotten))
"""


def lived(device: Device, life: str, place: Path, forgotten: str = r"(?!)") -> list[Event]:
    """What the disk did during a life of a store on it, to the end of the file system's own work."""
    with mounted(device.disk, place):
        done = program(LIFE, life, place / "store", device.told, forgotten)
        assert done.returncode == 0, done.stderr
    return device.events()
