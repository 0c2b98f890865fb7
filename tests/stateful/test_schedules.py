"""Writers, collectors and readers, interleaved at every call of the disk: nothing is lost, nothing is wrong."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from figures import note
from schedules import Actor, run

from deltackpt import Commit, Options, Store
from deltackpt.chunkstore.pack_writer import PackWriter
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.commit.start import BranchMovedError
from deltackpt.errors import DeltackptError, LockedError, NotFoundError
from deltackpt.history.deletion import delete
from deltackpt.maintenance import archive, condemn, gc, leaving, litter
from deltackpt.maintenance.repack import reversal

ONE_THREAD = Options(threads=1)
State = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs begin at 8 KB and close at 40 KB, so that small states take the way of large ones; epochs are short."""
    monkeypatch.setattr(gc, "EPOCH_RECORDS", 5)
    monkeypatch.setattr(archive, "EPOCH_RECORDS_WITHOUT_GC", 7)
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (8_000,))
    monkeypatch.setattr(PackWriter.__init__, "__defaults__", (40_000,))
    # Every chain is dear, so there is something to repack.
    monkeypatch.setattr(reversal, "FAVOURED_BUDGET", 0.0)


def noise(seed: int, size: int = 34_000) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


DEAD = {"x": noise(1), "y": noise(2), "z": noise(3, 5_000)}
# What LIVE adds to it is nearly half of what the whole takes: gc has LIVE stand alone.
BASE = {"w": noise(4)}
LIVE = {"w": BASE["w"] + noise(4) % 8, "x": noise(1), "v": noise(5, 5_000)}
NEXT = {"w": LIVE["w"] + (np.arange(34_000) % 91 == 0).astype(np.uint8), "y": noise(2), "z": noise(3, 5_000)}
OTHER = {"w": LIVE["w"] + (np.arange(34_000) % 89 == 0).astype(np.uint8), "y": noise(2), "v": noise(6, 5_000)}


@pytest.fixture(scope="module")
def prepared() -> Iterator[str]:
    """A store with a live branch, and garbage: whole, as a base of garbage and of what lives, and beside what lives."""
    folder = tempfile.mkdtemp(prefix="deltackpt-schedules-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    saved = Transaction.__init__.__defaults__, PackWriter.__init__.__defaults__
    Transaction.__init__.__defaults__, PackWriter.__init__.__defaults__ = (8_000,), (40_000,)
    with Store.init(os.path.join(folder, "prepared"), options=ONE_THREAD) as store:
        store.commit(DEAD, branch="dead")
        store.commit({**DEAD, "x": DEAD["x"] + (np.arange(34_000) % 97 == 0).astype(np.uint8)}, branch="dead")
        base = store.commit(BASE)
        store.commit(LIVE)
        store.delete_branch("dead")
        delete(store._repository, [base])
        assert store.gc(dry_run=True).rebased
    Transaction.__init__.__defaults__, PackWriter.__init__.__defaults__ = saved
    yield store.path
    shutil.rmtree(folder)


@dataclass
class Ledger:
    """What the actors were told."""

    made: list[tuple[Commit, State]] = field(default_factory=list)
    conflicts: list[BranchMovedError] = field(default_factory=list)

    def writer(self, branch: str, states: list[State], on_conflict: str = "fail", parent: str = "main") -> Actor:
        def write(store: Store) -> None:
            for state in states:
                described = {} if branch == "main" or branch in store.branches() else {"parent": parent}
                try:
                    made = store.commit(state, branch=branch, on_conflict=on_conflict, **described)
                except BranchMovedError as conflict:
                    self.conflicts.append(conflict)
                else:
                    self.made.append((made, state))

        return write


def collector(times: int) -> Actor:
    def work(store: Store) -> None:
        for _ in range(times):
            store.gc()

    return work


def reader(times: int) -> Actor:
    def read(store: Store) -> None:
        for _ in range(times):
            loaded = store.load("main~0")
            assert any(same(loaded, state) for state in (LIVE, NEXT, OTHER))
            assert same(store.load(next(iter([*store.log("main")][-1:]))), LIVE)

    return read


def deleter(store: Store) -> None:
    store.branch("side", "main")
    store.delete_branch("side")


def same(loaded: State, state: State) -> bool:
    return loaded.keys() == state.keys() and all(np.array_equal(loaded[name], state[name]) for name in state)


def check(root: str, ledger: Ledger) -> None:
    """Everything acknowledged loads, every byte verifies, and an index built anew says what the old one says."""
    with Store(root, options=ONE_THREAD) as store:
        for commit, state in ledger.made:
            assert same(store.load(commit), state)
        assert store.verify(data=True).problems == []
        kept_up = chunk_table(store)
        store._repository.chunks.rebuild()
        assert chunk_table(store) == kept_up
        store.gc()
        store.gc()
        kept_up = chunk_table(store)
        store._repository.chunks.rebuild()
        assert chunk_table(store) == kept_up
        for commit, state in ledger.made:
            assert same(store.load(commit), state)
        assert store.verify(data=True).problems == []


def chunk_table(store: Store) -> dict[object, object]:
    return store._repository.chunks.look(lambda view: dict(view.chunks()))


def different_branches(ledger: Ledger) -> dict[str, Actor]:
    return {"a": ledger.writer("a", [NEXT, OTHER]), "b": ledger.writer("b", [OTHER, NEXT])}


def one_branch(ledger: Ledger) -> dict[str, Actor]:
    return {"a": ledger.writer("main", [NEXT]), "b": ledger.writer("main", [OTHER])}


def one_branch_rebased(ledger: Ledger) -> dict[str, Actor]:
    return {name: ledger.writer("main", [NEXT, OTHER], "rebase") for name in "abc"}


def writer_and_gc(ledger: Ledger) -> dict[str, Actor]:
    return {"writer": ledger.writer("main", [NEXT, OTHER]), "gc": collector(2), "reader": reader(2)}


def two_collectors(ledger: Ledger) -> dict[str, Actor]:
    return {
        "writer": ledger.writer("b", [OTHER, NEXT]),
        "deleter": deleter,
        "gc 1": collector(2),
        "gc 2": collector(2),
        "reader": reader(1),
    }


def repackers(ledger: Ledger) -> dict[str, Actor]:
    """Chains are turned round while a writer builds on them; two that do so get into each other's way."""
    return {
        "writer": ledger.writer("main", [NEXT, OTHER]),
        "repack 1": lambda store: store.repack(),
        "repack 2": lambda store: store.repack(),
        "gc": collector(1),
        "reader": reader(1),
    }


def archivers(ledger: Ledger) -> dict[str, Actor]:
    """Small commits, so that the log grows: every few records some writer archives what the others stand on."""
    small = [{"n": noise(number, 300)} for number in range(4)]
    return {name: ledger.writer(name, small) for name in "abc"} | {"gc": collector(1)}


CASES: dict[str, Callable[[Ledger], dict[str, Actor]]] = {
    case.__name__: case
    for case in (
        different_branches,
        one_branch,
        one_branch_rebased,
        writer_and_gc,
        two_collectors,
        repackers,
        archivers,
    )
}


def play(prepared: str, case: str, seed: int) -> tuple[Ledger, dict[str, BaseException], int]:
    root = os.path.join(os.path.dirname(prepared), "played")
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(prepared, root)
    ledger = Ledger()
    failures, steps = run(root, CASES[case](ledger), seed)
    expected = (LockedError,) if case in ("writer_and_gc", "two_collectors", "repackers", "archivers") else ()
    for name, failure in failures.items():
        if not isinstance(failure, (*expected, NotFoundError) if name == "reader" else expected):
            raise AssertionError(f"schedule {seed} of {case}: {name} failed") from failure
    try:
        check(root, ledger)
    except (AssertionError, DeltackptError) as error:
        raise AssertionError(f"schedule {seed} of {case} left a store that is not right") from error
    return ledger, failures, steps


def play_many(prepared: str, case: str, seeds: range, monkeypatch: pytest.MonkeyPatch) -> int:
    total = 0
    for seed in seeds:
        # In half of them gc spares nobody: what is being written looks like litter to it.
        monkeypatch.setattr(litter, "SPARED_SECONDS", 3600.0 if seed % 2 else -1.0)
        # And in half of them each pack is condemned, and gone, by a record of its own.
        monkeypatch.setattr(condemn, "MOST_CHUNKS", 3_000 if seed % 4 < 2 else 1)
        monkeypatch.setattr(leaving, "MOST_PACKS", 1_000 if seed % 4 < 2 else 1)
        ledger, failures, steps = play(prepared, case, seed)
        total += steps
        if case in ("different_branches", "one_branch_rebased"):
            assert not failures
            assert not ledger.conflicts
            assert len(ledger.made) in (4, 6)
        if case == "one_branch":
            assert len(ledger.made) + len(ledger.conflicts) == 2
            for conflict in ledger.conflicts:
                winner = ledger.made[0][0].id
                assert conflict.theirs == winner
                assert winner.short in str(conflict)
                assert conflict.ours.short in str(conflict)
    return total


@pytest.mark.parametrize("case", CASES)
def test_schedules(prepared: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert play_many(prepared, case, range(40), monkeypatch) > 1_000


@pytest.mark.campaign
@pytest.mark.parametrize("case", CASES)
def test_many_schedules(prepared: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = play_many(prepared, case, range(1_000, 1_400), monkeypatch)
    note(f"{case}: 400 schedules, {steps} steps")
