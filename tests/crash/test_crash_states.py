"""Every moment of a store's life, cut short: no acknowledged commit is lost, no manual step is needed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from crash_scenarios import MEMORY, SCENARIOS, SYNCS, Known, check, lay_out, recorded
from figures import note
from recording import Acknowledged, FolderSynced, RecordingDisk, Synced, crashes, distinct, sampled

from deltackpt.fs.disk import Disk


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder in memory, where there is such a place."""
    made = tempfile.mkdtemp(prefix="deltackpt-crash-", dir=MEMORY if os.path.isdir(MEMORY) else None)
    yield made
    shutil.rmtree(made)


def survive(folder: str, scenario: str, *, bound: int, tears: int, limit: int) -> tuple[int, int]:
    disk = recorded(scenario, os.path.join(folder, "life", "store"))
    total, found = distinct(crashes(disk.root, disk.steps, bound, tears))
    root = os.path.join(folder, "crashed")
    tried = sampled(found, limit)
    for number, crash in enumerate(tried):
        lay_out(crash.tree, root)
        check(crash, root, onwards=number % 3 == 0)
    return total, len(tried)


# How many crash states each scenario has at least: more than 100,000 in all.
LEAST = {
    "init": 120,
    "first commit": 400,
    "inline commits": 350,
    "deltas": 650,
    "several packs": 6_000,
    "two branches": 900,
    "tags": 380,
    "gc of a branch": 1_100,
    "gc that copies": 10_000,
    "gc that rebases": 25_000,
    "repack": 30_000,
    "gc that archives": 15_000,
    "archive without gc": 12_000,
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_crash_is_survived(folder: str, scenario: str) -> None:
    total, tried = survive(folder, scenario, bound=150, tears=4, limit=160)
    assert total >= LEAST[scenario]
    assert tried >= 15


@pytest.mark.campaign
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_crash_is_survived_at_length(folder: str, scenario: str) -> None:
    total, tried = survive(folder, scenario, bound=4000, tears=16, limit=1_000)
    note(f"{scenario}: {total} crash states, {tried} distinct folders tried")


class NothingSynced(RecordingDisk):
    """Forgets to sync files."""

    def sync(self, fd: int, path: str) -> None:
        """Nothing reaches the disk."""


class NoFolderSynced(RecordingDisk):
    """Forgets to sync folders."""

    def sync_directory(self, path: str) -> None:
        """No name reaches the disk."""


def without_syncing(kind: str) -> type[RecordingDisk]:
    """A disk that forgets to sync what ``kind`` of file or folder matches, and nothing else."""

    class Forgetful(RecordingDisk):
        def sync(self, fd: int, path: str) -> None:
            if not re.search(kind, path):
                super().sync(fd, path)

        def sync_directory(self, path: str) -> None:
            if not re.search(kind, path):
                super().sync_directory(path)

    return Forgetful


class LinkedBeforeSynced(RecordingDisk):
    """Gives a record its number first and syncs it second."""

    def sync(self, fd: int, path: str) -> None:
        if path.endswith(".tmp") and fd in self._files:
            Disk.sync(self, fd, path)
            self._late = Synced(self._files[fd])
        else:
            super().sync(fd, path)

    def link(self, source: str, target: str) -> None:
        super().link(source, target)
        self.steps.append(self._late)


class AcknowledgedEarly(RecordingDisk):
    """Tells the caller before the record's folder is synced."""

    def acknowledge(self, state: object) -> None:
        at = max((i for i, step in enumerate(self.steps) if isinstance(step, FolderSynced)), default=0)
        self.steps.insert(at, Acknowledged(state))


@pytest.mark.parametrize("disk", [NothingSynced, NoFolderSynced, LinkedBeforeSynced, AcknowledgedEarly])
def test_a_careless_disk_is_found_out(folder: str, disk: type[RecordingDisk]) -> None:
    assert not survives(folder, "first commit", disk)


@pytest.mark.parametrize("what", SYNCS)
def test_every_sync_is_needed(folder: str, what: str) -> None:
    kind, scenario = SYNCS[what]
    assert not survives(folder, scenario, without_syncing(kind))


def survives(folder: str, scenario: str, disk: type[RecordingDisk]) -> bool:
    """Whether all goes well after a crash at any moment of a life through ``disk``."""
    life = recorded(scenario, os.path.join(folder, "life", "store"), disk)
    root = os.path.join(folder, "crashed")
    found = distinct(crashes(life.root, life.steps, 100, 2))[1]
    for crash in sampled(found, 400):
        lay_out(crash.tree, root)
        try:
            check(crash, root, onwards=False)
        except Exception:  # noqa: BLE001 - whatever went wrong, the crash was not survived
            return False
    return True


def test_the_states_before_and_after_are_told_apart(folder: str) -> None:
    """The simulation itself: with nothing lost, the folder after the last step is the folder that is there."""
    disk = recorded("first commit", os.path.join(folder, "life", "store"))
    last = next(crash for crash in crashes(disk.root, disk.steps, 10, 1) if crash.known is crash.next)
    assert isinstance(last.known, Known)
    there = {
        os.path.relpath(os.path.join(parent, name), disk.root)
        for parent, folders, names in os.walk(disk.root)
        for name in [*folders, *names]
    }
    assert set(last.tree) == {path for path in there if not path.startswith("index")}
