"""Whatever the history and the policy: what a plan says is what happens, to the byte."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deltackpt import Keep, Options, Store
from deltackpt.chunkstore.transaction import Transaction

SIZE = 6_000


@dataclass(frozen=True)
class Life:
    """For each commit whether it is on ``dev``, how much of its state is new, and whether it is tagged."""

    commits: tuple[tuple[bool, int, bool], ...]


lives = st.builds(
    lambda commits: Life(tuple(commits)),
    st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.booleans()), min_size=1, max_size=7),
)
policies = st.builds(
    Keep,
    last=st.none() | st.integers(1, 3),
    every=st.none() | st.integers(1, 4),
    best=st.sampled_from([(), "min:loss", "max:loss"]),
    optimizer=st.none() | st.integers(1, 2),
    max_size=st.none() | st.integers(1, 120_000),
)


@contextmanager
def lived(life: Life) -> Iterator[Store]:
    saved = Transaction.__init__.__defaults__
    Transaction.__init__.__defaults__ = (2_000,)
    folder = tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    try:
        with Store.init(Path(folder, "store"), options=Options(threads=1), reserve=0) as store:
            noise = np.random.default_rng(0)
            state = {"model": {"w": noise.bytes(SIZE)}, "optimizer": {"m": noise.bytes(SIZE)}}
            for step, (dev, new, tagged) in enumerate(life.commits):
                if new >= 1:
                    state["model"] = {"w": np.frombuffer(noise.bytes(SIZE), np.uint8)}
                if new == 2:
                    state["optimizer"] = {"m": np.frombuffer(noise.bytes(SIZE), np.uint8)}
                tags = [f"t{step}"] if tagged else []
                store.commit(
                    state, step=step, metrics={"loss": (step * 7) % 5}, branch="dev" if dev else "main", tags=tags
                )
            yield store
    finally:
        Transaction.__init__.__defaults__ = saved
        shutil.rmtree(folder)


def packs_and_log(store: Store) -> int:
    return sum(path.stat().st_size for name in ("packs", "log") for path in Path(store.path, name).rglob("*.*"))


@settings(max_examples=40)
@given(lives, policies)
def test_what_is_planned_is_what_happens(life: Life, keep: Keep) -> None:
    with lived(life) as store:
        before, heads = packs_and_log(store), {name: c.id for name, c in {**store.branches(), **store.tags()}.items()}
        planned = store.prune(keep, dry_run=True)
        assert store.recoverable() == []
        assert store.prune(keep) == planned
        assert planned.left_bytes == before - planned.freed_bytes
        assert store.gc().freed_bytes == planned.freed_bytes
        assert {c.id for c in store.log()} == {kept.commit.id for kept in planned.kept}
        assert {name: c.id for name, c in {**store.branches(), **store.tags()}.items()} == heads
        thinned = {(commit.id, part) for commit, part in planned.thinned}
        assert {(c.id, part.name) for c in store.log() for part in c.thinned} == thinned
        for commit in store.log():
            for part in commit.parts:
                if part.name:
                    store.load(commit, part=part.name)
        assert store.verify(data=True).problems == []


@settings(max_examples=40)
@given(lives, st.integers(1, 100_000))
def test_a_budget_takes_no_more_than_it_needs(life: Life, limit: int) -> None:
    with lived(life) as store:
        plan = store.prune(Keep(max_size=limit), dry_run=True)
        if plan.excess_bytes:
            smallest = store.prune(Keep(max_size=1), dry_run=True)
            assert plan.left_bytes == smallest.left_bytes, "everything that may go is gone"
        else:
            assert plan.left_bytes <= limit
            again = store.prune(Keep(max_size=plan.left_bytes), dry_run=True)
            assert (again.deleted, again.thinned) == (plan.deleted, plan.thinned)
