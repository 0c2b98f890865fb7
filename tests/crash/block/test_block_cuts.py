"""Power cuts below real file systems: the kernel recovers its journal, the store finds all that it acknowledged."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from apart import succeeds
from crash_scenarios import SCENARIOS, SYNCS, age, check
from disk_image import Cut, Event, Image, cuts, survived
from disks_that_tell import MAKE, lived, memory, mounted, recording
from figures import note
from recording import sampled


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
    folder: Path, first: Image, happened: Sequence[Event], tried: Sequence[Cut], *, lying: bool = False
) -> list[Cut]:
    """Those of the cuts after which something is missing or amiss."""
    return [
        cut
        for number, cut in enumerate(tried)
        if not is_survived(survived(first, happened, cut, lying=lying), cut, folder, onwards=number % 3 == 0)
    ]


def survive(folder: Path, system: str, life: str, *, seeds: int, limit: int) -> tuple[int, int]:
    """Try power cuts in a life; how many there are, and how many were tried."""
    first, happened = life_of(folder, system, life)
    found = cuts(happened, seeds)
    tried = sampled(found, limit)
    assert failures(folder, first, happened, tried) == []
    return len(found), len(tried)


@pytest.mark.parametrize("system", MAKE)
def test_power_cuts_below_a_file_system(folder: Path, system: str) -> None:
    total, tried = survive(folder, system, "gc that copies", seeds=2, limit=40)
    assert total > 300
    assert tried == 40


@pytest.mark.campaign
@pytest.mark.parametrize("system", MAKE)
@pytest.mark.parametrize("life", SCENARIOS)
def test_power_cuts_below_a_file_system_at_length(folder: Path, system: str, life: str) -> None:
    total, tried = survive(folder, system, life, seeds=6, limit=120)
    note(f"block level, {system}, {life}: {total} power cuts, {tried} tried")


@pytest.mark.parametrize("system", MAKE)
def test_a_disk_that_ignores_flushes_loses_commits(folder: Path, system: str) -> None:
    first, happened = life_of(folder, system, "first commit")
    tried = sampled(cuts(happened, 1), 12)
    assert failures(folder, first, happened, tried, lying=True)


@pytest.mark.parametrize("what", ["a pack", "a log record"])
def test_a_sync_that_is_left_out_is_missed(folder: Path, what: str) -> None:
    forgotten, life = SYNCS[what]
    first, happened = life_of(folder, "ext4", life, forgotten)
    assert failures(folder, first, happened, sampled(cuts(happened, 1), 30))
