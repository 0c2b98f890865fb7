"""A budget of bytes where newer commits stand on older ones: no more goes than is needed."""

from __future__ import annotations

import numpy as np
import pytest

from deltackpt import Keep, Store
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.errors import NotFoundError
from deltackpt.maintenance.budget import occupied_bytes

SIZE, COMMITS = 60_000, 12
# What a step adds takes about so much as a delta.
DELTA = 23_000


@pytest.fixture
def drifting(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Each commit is a delta on the one before it."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (8_000,))
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 256, SIZE, dtype=np.uint8)
    for step in range(COMMITS):
        store.commit({"w": weights}, step=step)
        weights = weights + rng.integers(0, 8, SIZE, dtype=np.uint8)
    return store


def test_the_oldest_go_until_the_others_fit_when_they_have_left_their_bases(drifting: Store) -> None:
    expected = {step: drifting.load(f"step:{step}")["w"] for step in range(COMMITS)}
    limit = SIZE + 6 * DELTA
    left = [drifting.prune(Keep(last=count), dry_run=True).left_bytes for count in range(1, COMMITS + 1)]
    most = sum(size <= limit for size in left)
    plan = drifting.prune(Keep(max_size=limit))
    kept = [entry.commit.step for entry in plan.kept]
    assert kept == [COMMITS - 1 - at for at in range(most)]
    assert plan.left_bytes == left[most - 1] <= limit < left[most]
    assert most >= 5
    assert drifting.gc().freed_bytes == plan.freed_bytes
    for step in kept:
        assert np.array_equal(drifting.load(f"step:{step}")["w"], expected[step])
    assert drifting.verify(data=True).ok


def test_nothing_goes_when_leaving_a_base_is_enough(drifting: Store) -> None:
    drifting.prune(Keep(last=6))
    occupied = occupied_bytes(drifting._repository.chunks)
    plan = drifting.prune(Keep(max_size=occupied - 2 * DELTA))
    assert (plan.deleted, plan.excess_bytes) == ((), 0)


def test_a_branch_that_is_not_there_is_told_with_branches_alone(drifting: Store) -> None:
    drifting.tag("release")
    with pytest.raises(NotFoundError, match=r"no branch 'nope'; there are 'main'$"):
        drifting.prune(Keep(last=1), branches=["nope"])
