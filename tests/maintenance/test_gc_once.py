"""One gc is enough, in however many steps it goes: the next one finds nothing that it could have freed."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from deltackpt import Store
from deltackpt.chunkstore.pack import HEADER_SIZE, TRAILER_SIZE
from deltackpt.chunkstore.pack_writer import PackWriter
from deltackpt.chunkstore.record import RecordHead
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.history.deletion import delete
from deltackpt.ids import ChunkId, CommitId
from deltackpt.maintenance import condemn
from deltackpt.maintenance.survey import Survey

State = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything goes to packs of some chunks each."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (0,))
    monkeypatch.setattr(PackWriter.__init__, "__defaults__", (60_000,))


def near(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Either nearly all of it has drifted a little, or a few bytes have changed."""
    if rng.integers(2):
        return array + rng.integers(0, 8, array.size, dtype=np.uint8)
    return array + (rng.integers(0, 50, array.size) == 0).astype(np.uint8)


def lived(store: Store, seed: int) -> dict[CommitId, State]:
    """A random life: branches that part and come back to old values, some gone, and commits deleted at random."""
    rng = np.random.default_rng(seed)
    heads: dict[str, State] = {}
    held: dict[CommitId, State] = {}
    for step in range(rng.integers(6, 12)):
        branch, parent = f"b{rng.integers(3)}", {}
        if branch not in heads:
            parent["parent"] = str(rng.choice(list(heads))) if heads else None
            sizes = rng.choice([500, 2_000, 3_000, 20_000], rng.integers(2, 9))
            first = {f"t{i}": rng.integers(0, 256, size, dtype=np.uint8) for i, size in enumerate(sizes)}
            heads[branch] = heads[parent["parent"]] if heads else first
        state = dict(heads[branch])
        for name in state:
            match rng.integers(6):
                case 0 | 1 | 2:
                    state[name] = near(state[name], rng)
                case 3 if held:
                    state[name] = list(held.values())[rng.integers(len(held))][name]
        heads[branch] = state
        held[store.commit(state, branch=branch, step=step, **parent).id] = state
    for branch in list(heads)[1:]:
        if rng.integers(3) == 0:
            store.delete_branch(branch)
    tips = {store.resolve(branch).id for branch in store.branches()}
    going = [commit for commit in held if commit not in tips and rng.integers(3)]
    delete(store._repository, [store.resolve(commit.hex()) for commit in going])
    kept = {commit.id for branch in store.branches() for commit in store.log(branch)} - set(going)
    return {commit: held[commit] for commit in kept}


def records(store: Store) -> Counter[RecordHead]:
    """What lies in the packs of a store, wherever it lies there."""
    survey = Survey(store._repository.chunks)
    survey.advance()
    return Counter(entry.head for pack in survey.packs for entry in survey.holdings.entries(pack))


@pytest.mark.parametrize("most", [1, 100_000], ids=["in steps", "in one step"])
def test_a_bundle_needed_for_one_chunk_leaves_with_the_delta_on_another(
    store: Store, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle goes only when that delta has left it, too; and what the bundle stands on goes only then."""
    monkeypatch.setattr(condemn, "MOST_CHUNKS", most)
    rng = np.random.default_rng(0)
    first = {f"t{i}": rng.integers(0, 256, 3_000, dtype=np.uint8) for i in range(10)}
    second = {name: near(value, np.random.default_rng(1)) for name, value in first.items()}
    third = {"t0": second["t0"], "t9": near(second["t9"], np.random.default_rng(1))}
    gone = [store.commit(state) for state in (first, second)]
    store.commit(third)
    delete(store._repository, gone)
    assert store.gc().rebased
    survey = Survey(store._repository.chunks)
    survey.advance()
    assert not any(ChunkId.of(value.tobytes()) in survey.in_use for state in (first, second) for value in [state["t9"]])
    assert (store.gc(dry_run=True).empty, store.gc().freed_bytes) == (True, 0), "once is enough"
    loaded = store.load("main")
    assert all(np.array_equal(loaded[name], value) for name, value in third.items())
    assert store.verify(data=True).ok


@pytest.mark.parametrize("seed", range(3))
def test_in_any_steps_it_ends_with_the_same_records(
    store: Store, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = lived(store, seed)
    ends = []
    for most in (1, 100_000):
        monkeypatch.setattr(condemn, "MOST_CHUNKS", most)
        copy = tmp_path / str(most)
        shutil.copytree(store.path, copy)
        with Store(copy) as other:
            promised = other.gc(dry_run=True)
            plan = other.gc()
            assert plan == promised
            again = other.gc(dry_run=True)
            assert (again.empty, again.freed_bytes) == (True, 0), "once is enough"
            packs = len(list(copy.glob("packs/*/*.pack")))
            ends.append((records(other), plan.freed_bytes + packs * (HEADER_SIZE + TRAILER_SIZE)))
            for commit, state in expected.items():
                loaded = other.load(commit.hex())
                assert all(np.array_equal(loaded[name], value) for name, value in state.items())
    assert ends[0] == ends[1]
