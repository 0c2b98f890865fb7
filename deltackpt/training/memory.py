"""How much memory may still be taken: what the machine has, within the limit that a container or a job sets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

_ROOT = "/sys/fs/cgroup"
# What else a training may need that is not taken yet.
SPARED = 0.1


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that are free, and who says so."""

    free: int
    limit: str

    def holds(self, nbytes: int) -> bool:
        """Whether so many bytes can be taken, with something to spare."""
        return nbytes <= self.free * (1 - SPARED)


def room() -> Room:
    """The tightest of the machine and every control group that this process is in."""
    rooms = [Room(_available(), "the machine"), *_groups()]
    return min(rooms, key=lambda found: found.free)


def _available() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _groups() -> Iterator[Room]:
    """The limit of each control group from this process's own upwards; version 2, else the memory part of version 1."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return
    for number, controllers, path in lines:
        if number == "0":
            yield from _upwards(_ROOT, path, "memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            yield from _upwards(f"{_ROOT}/memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes")


def _upwards(root: str, path: str, limit: str, usage: str) -> Iterator[Room]:
    while True:
        folder = root + path.rstrip("/")
        most, used = _number(f"{folder}/{limit}"), _number(f"{folder}/{usage}")
        # Without a limit version 1 names the largest number of pages.
        if most is not None and used is not None and most < 1 << 60:
            yield Room(max(0, most - used + _reclaimable(folder)), f"the limit of control group {path or '/'}")
        if path in ("", "/"):
            return
        path = os.path.dirname(path)


def _reclaimable(folder: str) -> int:
    """Pages of files, which count as used and are given up when memory is needed."""
    try:
        with open(f"{folder}/memory.stat", encoding="ascii") as file:
            stats = dict(line.split() for line in file)
    except (OSError, ValueError):
        return 0
    return int(stats.get("inactive_file", stats.get("total_inactive_file", 0)))


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
