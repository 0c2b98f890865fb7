"""A store against a dict: whatever is done to it, in any order, it says what the dict says."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from disks import damage
from figures import note
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from deltackpt import Commit, Keep, Options, Store
from deltackpt.chunkstore.pack_writer import PackWriter
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.commit.start import BranchMovedError
from deltackpt.errors import InvalidInputError, NotFoundError
from deltackpt.maintenance import archive, condemn, gc, leaving
from deltackpt.maintenance.repack import reversal

ONE_THREAD = Options(threads=1, cache_bytes=1 << 20)
BRANCHES = ["main", "dev", "exp"]
TAGS = ["t1", "t2"]
State = dict[str, np.ndarray]


def base(seed: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def near(seed: int, size: int, change: int, drift: int) -> np.ndarray:
    """Close to other arrays of the seed: apart in a few places, and by what nearly halves the worth of a delta."""
    return base(seed, size) + (np.arange(size) % 50 < change).astype(np.uint8) + drift * (base(seed + 9, size) % 8)


# Few seeds and sizes, so that chunks come back, as themselves, as bases and as garbage.
arrays = st.builds(
    near,
    st.integers(0, 3),
    st.sampled_from([0, 8, 300, 5_000, 40_000, 120_000]),
    st.integers(0, 2),
    st.integers(0, 3),
)
states = st.dictionaries(st.sampled_from(["a", "b", "c"]), arrays, min_size=1)


@dataclass
class Model:
    """What the store should hold: commits with their states and parents in the order in which they were made.

    And where refs point, which commits are deleted, and which of these a gc has purged.
    """

    states: dict[str, State] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)

    def named(self) -> set[str]:
        return {*self.branches.values(), *self.tags.values()}

    def visible(self) -> set[str]:
        return self.reachable() - self.deleted

    def line(self, commit: str | None) -> list[str]:
        """The commit and those behind it, newest first, without those deleted."""
        found = []
        while commit is not None:
            found.append(commit)
            commit = self.parents[commit]
        return [commit for commit in found if commit not in self.deleted]

    def lines(self) -> list[list[str]]:
        """One for each branch, and one for each tag that no branch reaches."""
        lines = [self.line(head) for head in self.branches.values()]
        order = list(self.states)
        for tagged in sorted(self.tags.values(), key=order.index, reverse=True):
            if not any(tagged in line for line in lines):
                lines.append(self.line(tagged))
        return lines

    def reachable(self) -> set[str]:
        found: set[str] = set()
        for commit in (*self.branches.values(), *self.tags.values()):
            step: str | None = commit
            while step is not None and step not in found:
                found.add(step)
                step = self.parents[step]
        return found


class StoreMachine(RuleBasedStateMachine):
    commits = Bundle("commits")
    steps = 0
    repacked = 0
    mended = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(
            prefix="deltackpt-machine-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None
        )
        self.store = Store.init(os.path.join(self.folder, "s"), options=ONE_THREAD)
        self.other = Store(self.store.path, options=ONE_THREAD)
        self.model = Model()

    def teardown(self) -> None:
        for store in (self.store, self.other):
            assert store.verify(data=True).problems == []
            store.close()
        shutil.rmtree(self.folder)

    def _made(self, commit: Commit, state: State, branch: str) -> str:
        name = commit.id.hex()
        head = self.model.branches.get(branch)
        parent = commit.parents[0].hex() if commit.parents else None
        self.model.states[name] = state
        self.model.parents[name] = parent
        if head is not None and parent != head:
            others = [*(c for b, c in self.model.branches.items() if b != branch), *self.model.tags.values()]
            if head not in others:
                self.model.branches[f"abandoned/{branch}-{head[:12]}"] = head
        self.model.branches[branch] = name
        return name

    @rule(target=commits, state=states, branch=st.sampled_from(BRANCHES), second=st.booleans())
    def commit(self, state: State, branch: str, second: bool) -> str:
        store = self.other if second else self.store
        return self._made(store.commit(state, branch=branch), state, branch)

    @rule(target=commits, state=states, branch=st.sampled_from(BRANCHES), parent=commits)
    def rewind(self, state: State, branch: str, parent: str) -> str:
        if parent not in self.model.visible():
            return parent
        return self._made(self.store.commit(state, branch=branch, parent=parent), state, branch)

    @rule(target=commits, mine=states, theirs=states, branch=st.sampled_from(BRANCHES), rebase=st.booleans())
    def commit_while_another_commits(self, mine: State, theirs: State, branch: str, rebase: bool) -> str:
        from disks import InterruptedDisk, opened

        names: list[str] = []

        def meanwhile() -> None:
            names.append(self._made(self.other.commit(theirs, branch=branch), theirs, branch))

        interrupted = opened(self.store.path, InterruptedDisk(meanwhile), threads=1)
        refused: list[BranchMovedError] = []
        try:
            made = interrupted.commit(mine, branch=branch, on_conflict="rebase" if rebase else "fail")
        except BranchMovedError as conflict:
            refused.append(conflict)
        else:
            names.append(self._made(made, mine, branch))
        finally:
            interrupted.close()
        assert bool(refused) is not rebase
        assert all(conflict.theirs.hex() == names[0] for conflict in refused)
        return names[-1]

    @rule(name=st.sampled_from(TAGS), commit=commits, force=st.booleans())
    def tag(self, name: str, commit: str, force: bool) -> None:
        if commit not in self.model.visible():
            return
        if name in self.model.tags and not force:
            with pytest.raises(InvalidInputError):
                self.store.tag(name, commit)
        else:
            self.store.tag(name, commit, force=force)
            self.model.tags[name] = commit

    @rule(name=st.sampled_from(BRANCHES), commit=commits)
    def move_branch(self, name: str, commit: str) -> None:
        if commit in self.model.visible():
            self.other.branch(name, commit, force=True)
            self.model.branches[name] = commit

    @rule(name=st.sampled_from(BRANCHES[1:]))
    def delete_branch(self, name: str) -> None:
        if name in self.model.branches:
            self.store.delete_branch(name)
            del self.model.branches[name]
        else:
            with pytest.raises(NotFoundError):
                self.store.delete_branch(name)

    @rule(name=st.sampled_from(TAGS))
    def delete_tag(self, name: str) -> None:
        if name in self.model.tags:
            self.store.delete_tag(name)
            del self.model.tags[name]

    @rule(second=st.booleans())
    def gc(self, second: bool) -> None:
        (self.other if second else self.store).gc()
        self._collected()

    def _collected(self) -> None:
        self.model.purged |= self.model.deleted
        for commit in set(self.model.states) - self.model.visible():
            with pytest.raises(NotFoundError):
                self.store.load(commit)

    @rule(commit=commits, second=st.booleans())
    def delete(self, commit: str, second: bool) -> None:
        if commit not in self.model.visible():
            return
        store = self.other if second else self.store
        if commit in self.model.named():
            with pytest.raises(InvalidInputError):
                store.delete(commit)
        else:
            store.delete(commit)
            self.model.deleted.add(commit)
            with pytest.raises(NotFoundError):
                self.store.load(commit)

    @rule(commit=commits)
    def undelete(self, commit: str) -> None:
        if commit in self.model.deleted - self.model.purged and commit in self.model.reachable():
            self.store.undelete(commit)
            self.model.deleted.remove(commit)
        else:
            with pytest.raises(NotFoundError):
                self.store.undelete(commit)

    @rule(last=st.integers(1, 4))
    def prune(self, last: int) -> None:
        lines = self.model.lines()
        kept = {commit for line in lines for commit in line[:last]} | self.model.named()
        going = {commit for line in lines for commit in line} - kept
        assert {commit.id.hex() for commit in self.other.prune(Keep(last=last)).deleted} == going
        self.model.deleted |= going

    @rule(recompress=st.booleans(), second=st.booleans())
    def repack(self, recompress: bool, second: bool) -> None:
        StoreMachine.repacked += (self.other if second else self.store).repack(recompress=recompress).records
        self._collected()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store(self.store.path, options=ONE_THREAD)

    @rule()
    def lose_the_index(self) -> None:
        shutil.rmtree(os.path.join(self.store.path, "index"))

    @rule(which=st.integers(0, 1000), kind=st.sampled_from(["log/*/*.rec", "segments/*.seg", "packs/*/*.pack"]))
    def damage_and_repair(self, which: int, kind: str) -> None:
        """The time of a record, or the end of a pack: nothing of it is needed that is not known elsewhere."""
        list(self.store.log())
        found = sorted(Path(self.store.path).glob(kind))
        if found:
            path = found[which % len(found)]
            at = -4 if kind.endswith("pack") else path.read_bytes().index(b"time_ns") + 12
            damage(path, at)
            assert Store.repair(self.store.path, execute=True).ok
            assert Store.repair(self.store.path).empty
            StoreMachine.mended += 1

    @rule(commit=commits)
    def load(self, commit: str) -> None:
        if commit in self.model.visible():
            loaded = self.other.load(commit)
            state = self.model.states[commit]
            assert loaded.keys() == state.keys()
            assert all(loaded[name].tobytes() == value.tobytes() for name, value in state.items())

    @rule(commit=commits)
    def checkout(self, commit: str) -> None:
        from safetensors.numpy import load_file

        if commit in self.model.visible():
            target = os.path.join(self.folder, "out.safetensors")
            self.store.checkout(commit, target, force=True)
            state = self.model.states[commit]
            assert {name: value.tobytes() for name, value in load_file(target).items()} == {
                name: value.tobytes() for name, value in state.items()
            }

    @rule()
    def verify(self) -> None:
        assert self.other.verify(data=True).problems == []

    @invariant()
    def refs_agree(self) -> None:
        StoreMachine.steps += 1
        assert {name: commit.id.hex() for name, commit in self.store.branches().items()} == self.model.branches
        assert {name: commit.id.hex() for name, commit in self.other.tags().items()} == self.model.tags


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs begin at 8 KB and close at 100 KB, so that small states take the way of large ones.

    Epochs are short, a gc tells what is gone in several records, and every chain is dear enough to be repacked.
    """
    monkeypatch.setattr(gc, "EPOCH_RECORDS", 6)
    monkeypatch.setattr(leaving, "MOST_COMMITS", 3)
    monkeypatch.setattr(leaving, "MOST_PACKS", 3)
    monkeypatch.setattr(condemn, "MOST_CHUNKS", 5)
    monkeypatch.setattr(archive, "EPOCH_RECORDS_WITHOUT_GC", 9)
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (8_000,))
    monkeypatch.setattr(PackWriter.__init__, "__defaults__", (100_000,))
    monkeypatch.setattr(reversal, "FAVOURED_BUDGET", 0.0)


def run(examples: int, steps: int, number: int = 0) -> None:
    """The same lives every time; others for each ``number``."""
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    machine = seed(number)(type(f"StoreMachine{number}", (StoreMachine,), {}))
    run_state_machine_as_test(machine, settings=chosen)


def test_a_store_is_a_dict() -> None:
    run(examples=60, steps=30)
    assert StoreMachine.repacked > 5
    assert StoreMachine.mended > 5


@pytest.mark.long
@pytest.mark.parametrize("number", range(1, 9))
def test_a_store_is_a_dict_at_length(number: int) -> None:
    StoreMachine.steps = 0
    run(120, 60, number)
    note(f"state machine {number}: 120 lives, {StoreMachine.steps} steps")
    assert StoreMachine.steps > 4_000
