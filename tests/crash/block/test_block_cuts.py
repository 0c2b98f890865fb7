"""Power cuts below real file systems: the kernel recovers its journal, the store finds all that it acknowledged."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from apart import succeeds
from crash_scenarios import SCENARIOS, SYNCS, age, check
from disk_image import Cut, Event, Image, cuts, survived
from disks_that_tell import MAKE, lived, memory, mounted, recording
from figures import note


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory() as made:
        yield made


def life_of(folder: Path, system: str, life: str, forgotten: str = r"(?!)") -> tuple[Image, list[Event]]:
    """The disk before a life, and what happened to it."""
    with recording(folder / "device", system) as device:
        return device.first, lived(device, life, folder / "place", forgotten)


@dataclass(frozen=True, slots=True)
class Tried:
    """Of ``total`` power cuts, ``tried`` ones; ``unmounted`` left a file system that the kernel refused.

    ``failed`` are those after which something is missing or amiss in the store.
    """

    total: int
    tried: int
    unmounted: int
    failed: list[Cut]


def is_survived(image: Image, cut: Cut, folder: Path, *, onwards: bool) -> bool | None:
    """Whether the store, with its index, has what it acknowledged; None when its file system cannot be mounted."""
    disk, place = folder / "crashed", folder / "after"
    image.lay_out(disk)
    root = str(place / "store")

    def try_it() -> None:
        age(root)
        check(cut, root, onwards=onwards)

    with ExitStack() as stack:
        stack.callback(disk.unlink)
        try:
            stack.enter_context(mounted(disk, place))
        except subprocess.CalledProcessError:
            return None
        return succeeds(try_it)


def endure(
    folder: Path, system: str, life: str, *, forgotten: str = r"(?!)", ignored: int = 0, seeds: int = 1, limit: int
) -> Tried:
    """Let the power fail at some moments of a life."""
    first, happened = life_of(folder, system, life, forgotten)
    total, found = cuts(happened, seeds, ignored)
    # By chance, for at even distances all of them might be of one fate.
    tried = random.Random(life).sample(found, min(limit, len(found)))
    ends = [
        is_survived(survived(first, happened, cut), cut, folder, onwards=number % 3 == 0)
        for number, cut in enumerate(tried)
    ]
    failed = [cut for cut, end in zip(tried, ends, strict=True) if end is False]
    return Tried(total, len(tried), ends.count(None), failed)


@pytest.mark.parametrize("system", MAKE)
def test_power_cuts_below_a_file_system(folder: Path, system: str) -> None:
    found = endure(folder, system, "gc that copies", seeds=2, limit=20)
    assert found.failed == []
    assert found.tried == 20
    assert found.unmounted <= 1
    assert found.total > 1_000


@pytest.mark.campaign
@pytest.mark.parametrize("system", MAKE)
@pytest.mark.parametrize("life", SCENARIOS)
def test_power_cuts_below_a_file_system_at_length(folder: Path, system: str, life: str) -> None:
    found = endure(folder, system, life, seeds=8, limit=50)
    assert found.failed == []
    # A block of metadata that is torn may be more than the file system promises to mend.
    assert found.unmounted <= 2
    end = f"{found.tried} distinct disks tried, {found.unmounted} not mounted"
    note(f"block level, {system}, {life}: {found.total} power cuts, {end}")


@pytest.mark.parametrize("system", MAKE)
def test_a_disk_that_ignores_flushes_loses_commits(folder: Path, system: str) -> None:
    assert endure(folder, system, "tags", ignored=12, limit=12).failed


@pytest.mark.parametrize("what", ["a pack", "a log record"])
def test_a_sync_that_is_left_out_is_missed(folder: Path, what: str) -> None:
    forgotten, life = SYNCS[what]
    assert endure(folder, "ext4", life, forgotten=forgotten, limit=20).failed
