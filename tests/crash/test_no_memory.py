"""Memory that is refused: the operation fails cleanly, and the store is as before."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest
from crash_scenarios import ONE_THREAD, noise, refs_of, small_files
from figures import note

from deltackpt import Store
from deltackpt.errors import DeltackptError

KEPT = noise(1, 34_000)
PATIENCE = 20


class Outcome(IntEnum):
    """How a process ended that was refused memory."""

    DONE = 0
    NO_MEMORY = 10
    REFUSED = 11
    OTHER = 12
    # A thread pool of Python's that could not go on leaves those waiting who wait for it.
    WAITS = 13
    # msgspec's encoder goes on where it was refused.
    CRASHED = 14


@pytest.fixture
def path(tmp_path: Path) -> str:
    with small_files(), Store.init(tmp_path / "s", options=ONE_THREAD) as store:
        store.commit({"kept": KEPT}, step=0)
        store.commit({"kept": KEPT + 1}, step=1)
        return store.path


def outcome(path: str, refuse: Callable[[], None], work: Callable[[Store], object]) -> Outcome:
    """What becomes of ``work`` on the store in a process of its own that has called ``refuse``."""
    child = os.fork()
    if not child:
        code = Outcome.OTHER
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        try:
            with small_files():
                store = Store(path, options=ONE_THREAD)
                store.load("main")
                refuse()
                work(store)
            code = Outcome.DONE
        except (MemoryError, SystemError):
            # The second is of NumPy, which takes what it was refused for a mistake of its own.
            code = Outcome.NO_MEMORY
        except RuntimeError as error:
            # What Python says where it has no memory for a lock or a thread.
            code = Outcome.NO_MEMORY if str(error).startswith("can't ") else Outcome.OTHER
        except DeltackptError:
            code = Outcome.REFUSED
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return {signal.SIGALRM: Outcome.WAITS, signal.SIGSEGV: Outcome.CRASHED}[signal.Signals(os.WTERMSIG(status))]
    return Outcome(os.WEXITSTATUS(status))


def check(path: str, commits: int) -> None:
    with Store(path, options=ONE_THREAD) as store:
        line = list(store.log("main"))
        assert len(line) in (commits, commits + 1)
        assert np.array_equal(store.load(line[-1])["kept"], KEPT)
        assert store.verify(data=True).problems == []


def commit(store: Store) -> None:
    store.commit({"kept": KEPT + 2, "new": noise(7, 20_000)})


def load(store: Store) -> None:
    assert np.array_equal(store.load("main~1")["kept"], KEPT)


def sweep(path: str, work: Callable[[Store], object], allocations: range) -> Counter[Outcome]:
    """One allocation of Python's fails, each of ``allocations`` in turn."""
    testing = pytest.importorskip("_testcapi", reason="this Python has no allocator that fails on purpose")
    outcomes: Counter[Outcome] = Counter()
    with Store(path, options=ONE_THREAD) as store:
        commits = len(list(store.log("main")))
        refs = refs_of(store)
    for nth in allocations:
        ended = outcome(path, lambda nth=nth: testing.set_nomemory(nth, nth + 1), work)
        outcomes[ended] += 1
        check(path, commits)
        with Store(path, options=ONE_THREAD) as store:
            if refs_of(store) != refs:
                assert ended is not Outcome.REFUSED
                commits, refs = len(list(store.log("main"))), refs_of(store)
    return outcomes


@pytest.mark.parametrize("work", [commit, load])
def test_an_allocation_that_fails(path: str, work: Callable[[Store], object]) -> None:
    outcomes = sweep(path, work, range(1, 6_000, 199))
    assert outcomes[Outcome.NO_MEMORY] > 5
    assert outcomes[Outcome.OTHER] == 0
    assert outcomes[Outcome.CRASHED] <= 1


@pytest.mark.campaign
@pytest.mark.parametrize("work", [commit, load])
def test_every_allocation_that_fails(path: str, work: Callable[[Store], object]) -> None:
    outcomes = sweep(path, work, range(1, 12_000, 3))
    ends = ", ".join(f"{count} {ended.name}" for ended, count in sorted(outcomes.items()))
    note(f"{work.__name__}: {outcomes.total()} allocations failed: {ends}")
    assert outcomes[Outcome.OTHER] == 0
    assert outcomes[Outcome.CRASHED] + outcomes[Outcome.WAITS] < outcomes.total() / 50
