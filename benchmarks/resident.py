"""How much memory a process holds, as Linux accounts for it."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

SELF = Path("/proc/self")
SAMPLE_SECONDS = 0.005


def settle() -> None:
    """Collect garbage and hand free heap pages back, so that what is left is held on purpose."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int:
    """Resident memory of this process now."""
    return _field(SELF, "VmRSS")


def anonymous_bytes() -> int:
    """The part of it that is not pages of mapped files, which the kernel can drop and read again."""
    return _field(SELF, "RssAnon")


def writable_bytes() -> int:
    """Private writable memory as ``RLIMIT_DATA`` counts it: mapped, resident or not."""
    return _field(SELF, "VmData")


def peak_during(action: Callable[[], object]) -> int:
    """Highest resident memory of this process while ``action`` runs, as the kernel kept it."""
    (SELF / "clear_refs").write_text("5")
    action()
    return _field(SELF, "VmHWM")


def children_peak_during(action: Callable[[], object]) -> int:
    """Highest resident memory of any single child process while ``action`` runs; 0 when it starts none.

    The kernel's own peak of each child is read until the child is gone. ``getrusage`` would not do: what it
    says of a child begins with the memory of the process that started it.
    """
    return _highest_during(action, _children_high_water)


def anonymous_peak_during(action: Callable[[], object]) -> int:
    """Highest anonymous memory while ``action`` runs, sampled."""
    return _highest_during(action, anonymous_bytes)


def peak_with_children(action: Callable[[], object]) -> int:
    """Highest resident memory of this process and what its children hold of their own, sampled."""
    return _highest_during(action, lambda: resident_bytes() + sum(_field(child, "RssAnon") for child in _children()))


def _highest_during(action: Callable[[], object], read: Callable[[], int]) -> int:
    done, highest = threading.Event(), [read()]

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            highest[0] = max(highest[0], read())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        action()
    finally:
        done.set()
        watcher.join()
    return highest[0]


def _children_high_water() -> int:
    return max((_field(child, "VmHWM") for child in _children()), default=0)


def _children() -> Iterator[Path]:
    """Processes that this one has started and that run a program of their own: until then their memory is ours."""
    own = _read(SELF / "cmdline")
    for task in (SELF / "task").iterdir():
        children = (Path("/proc") / pid for pid in _read(task / "children").split())
        yield from (child for child in children if _read(child / "cmdline") != own)


def _field(process: Path, name: str) -> int:
    """Bytes; 0 when the process is gone."""
    for line in _read(process / "status").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
