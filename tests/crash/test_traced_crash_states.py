"""The crash states of real system calls, LMDB's writes among them: the index is there, as the power cut left it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence

import pytest
from apart import succeeds
from crash_scenarios import MEMORY, SCENARIOS, SYNCS, check, lay_out
from figures import note
from recording import Crash, Step, crashes, distinct, sampled
from tracing import steps_of, trace

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs the command strace")

# In every run a few of each; the campaign takes all. The recorder within the package tries every life at length.
LIVES = ("first commit", "gc that copies", "gc that archives")
SOME_SYNCS = ("a pack", "a log record", "the folder of an epoch")


@pytest.fixture
def folder() -> Iterator[str]:
    made = tempfile.mkdtemp(prefix="deltackpt-traced-", dir=MEMORY if os.path.isdir(MEMORY) else None)
    yield made
    shutil.rmtree(made)


def survived(tried: Sequence[Crash], root: str, *, onwards: bool = True) -> bool:
    """Whether a process of its own finds all well after each; a damaged page might end it."""

    def try_all() -> None:
        for number, crash in enumerate(tried):
            lay_out(crash.tree, root)
            check(crash, root, onwards=onwards and number % 3 == 0)

    return succeeds(try_all)


def find(root: str, steps: Sequence[Step], *, bound: int, tears: int, limit: int) -> tuple[int, list[Crash]]:
    total, found = distinct(crashes(root, steps, bound, tears))
    return total, sampled(found, limit)


def survive(folder: str, life: str, *, bound: int, tears: int, limit: int) -> tuple[int, int]:
    """Try the crashes of a life; how many there are, and how many were tried."""
    root = os.path.join(folder, "life", "store")
    total, tried = find(root, steps_of(trace(life, root), root), bound=bound, tears=tears, limit=limit)
    assert survived(tried, os.path.join(folder, "crashed"))
    return total, len(tried)


@pytest.mark.parametrize("life", LIVES)
def test_every_crash_is_survived_with_its_index(folder: str, life: str) -> None:
    total, tried = survive(folder, life, bound=60, tears=2, limit=160)
    assert total > 3_000
    assert tried == 160


@pytest.mark.campaign
@pytest.mark.parametrize("life", SCENARIOS)
def test_every_crash_is_survived_with_its_index_at_length(folder: str, life: str) -> None:
    total, tried = survive(folder, life, bound=1_000, tears=8, limit=2_000)
    note(f"traced, {life}: {total} crash states, {tried} distinct folders tried")


def is_needed(folder: str, what: str) -> bool:
    forgotten, life = SYNCS[what]
    root = os.path.join(folder, "life", "store")
    _, tried = find(root, steps_of(trace(life, root), root, forgotten), bound=40, tears=1, limit=400)
    return not survived(tried, os.path.join(folder, "crashed"), onwards=False)


@pytest.mark.parametrize("what", SOME_SYNCS)
def test_a_traced_sync_is_needed(folder: str, what: str) -> None:
    assert is_needed(folder, what)


@pytest.mark.campaign
@pytest.mark.parametrize("what", SYNCS)
def test_every_traced_sync_is_needed(folder: str, what: str) -> None:
    assert is_needed(folder, what)


def test_an_index_that_was_never_synced_fools_nobody(folder: str) -> None:
    """LMDB's own syncs are no part of the promise: whatever is left of its file is taken or thrown away."""
    root = os.path.join(folder, "life", "store")
    steps = steps_of(trace("gc that copies", root), root, r"\.mdb$")
    _, tried = find(root, steps, bound=60, tears=2, limit=160)
    assert survived(tried, os.path.join(folder, "crashed"))
