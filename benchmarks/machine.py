"""The machine and the versions that the figures belong to."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from blake3 import blake3

from benchmarks.stopwatch import timed

LIBRARIES = ("deltackpt", "torch", "numpy", "safetensors", "zstandard", "lmdb", "zipnn")
PROGRAMS = {"restic": ["restic", "version"], "borg": ["borg", "--version"]}
PROBE_BYTES = 256 << 20


def describe(folder: Path) -> Iterator[tuple[str, str]]:
    """``(what, value)`` rows; ``folder`` is where the benchmarks write."""
    yield "processor", f"{_processor()}, {os.cpu_count()} cores"
    yield "memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    yield "system", f"{platform.system()} {platform.release().partition('-')[0]}, {_file_system(folder)}"
    yield "disk, sequential write + fsync", f"{_disk_speed(folder)} MB/s (worst, median, best of 5)"
    yield "BLAKE3 on one core", f"{_hash_speed():.1f} GB/s"
    yield "load average at the start", " ".join(f"{load:.1f}" for load in os.getloadavg())
    yield "Python", platform.python_version()
    yield from ((name, _version(name)) for name in LIBRARIES)
    yield from ((name, _program(name, command)) for name, command in PROGRAMS.items())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _file_system(folder: Path) -> str:
    """Type of the mount that holds ``folder``: the longest mount point that is a prefix of it."""
    mounts = (line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines())
    return max((m for m in mounts if folder.resolve().is_relative_to(m[0])), key=lambda m: len(m[0]))[1]


def _disk_speed(folder: Path) -> str:
    """Five files of random bytes: what no durable commit of incompressible bytes can beat."""
    block, speeds = os.urandom(PROBE_BYTES), []
    for _ in range(5):
        speeds.append(PROBE_BYTES / 1e6 / timed(lambda: _write(folder / "probe", block)))
    low, _, middle, _, high = sorted(speeds)
    return f"{low:.0f}, {middle:.0f}, {high:.0f}"


def _hash_speed() -> float:
    """Median of five: a speed that does not depend on the disk, so it shows how busy the machine is."""
    block = os.urandom(PROBE_BYTES)
    return PROBE_BYTES / 1e9 / median(timed(lambda: blake3(block).digest()) for _ in range(5))


def _write(path: Path, block: bytes) -> None:
    with path.open("wb") as file:
        file.write(block)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _program(name: str, command: list[str]) -> str:
    if shutil.which(name) is None:
        return "not installed"
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
