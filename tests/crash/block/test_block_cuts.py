"""Power cuts below real file systems: the kernel recovers its journal, the store finds all that it acknowledged."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
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


def is_survived(image: Image, cut: Cut, folder: Path, *, onwards: bool) -> bool:
    """Whether the file system can be mounted and the store on it, with its index, has what it acknowledged."""
    disk, place = folder / "crashed", folder / "after"
    image.lay_out(disk)
    root = str(place / "store")

    def try_it() -> None:
        age(root)
        check(cut, root, onwards=onwards)

    try:
        with mounted(disk, place):
            return succeeds(try_it)
    except subprocess.CalledProcessError:
        return False
    finally:
        disk.unlink()


def failures(
    folder: Path, system: str, life: str, *, forgotten: str = r"(?!)", ignored: int = 0, seeds: int = 1, limit: int
) -> tuple[int, int, list[Cut]]:
    """How many power cuts a life has, how many were tried, and those after which something is missing or amiss."""
    first, happened = life_of(folder, system, life, forgotten)
    total, found = cuts(happened, seeds, ignored)
    # By chance, for at even distances all of them might be of one fate.
    tried = random.Random(life).sample(found, min(limit, len(found)))
    return (
        total,
        len(tried),
        [
            cut
            for number, cut in enumerate(tried)
            if not is_survived(survived(first, happened, cut), cut, folder, onwards=number % 3 == 0)
        ],
    )


@pytest.mark.parametrize("system", MAKE)
def test_power_cuts_below_a_file_system(folder: Path, system: str) -> None:
    total, tried, failed = failures(folder, system, "gc that copies", seeds=2, limit=20)
    assert failed == []
    assert tried == 20
    assert total > 1_000


@pytest.mark.campaign
@pytest.mark.parametrize("system", MAKE)
@pytest.mark.parametrize("life", SCENARIOS)
def test_power_cuts_below_a_file_system_at_length(folder: Path, system: str, life: str) -> None:
    total, tried, failed = failures(folder, system, life, seeds=8, limit=50)
    assert failed == []
    note(f"block level, {system}, {life}: {total} power cuts, {tried} distinct disks tried")


@pytest.mark.parametrize("system", MAKE)
def test_a_disk_that_ignores_flushes_loses_commits(folder: Path, system: str) -> None:
    assert failures(folder, system, "tags", ignored=12, limit=12)[2]


@pytest.mark.parametrize("what", ["a pack", "a log record"])
def test_a_sync_that_is_left_out_is_missed(folder: Path, what: str) -> None:
    forgotten, life = SYNCS[what]
    assert failures(folder, "ext4", life, forgotten=forgotten, limit=20)[2]
