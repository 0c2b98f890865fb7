"""A gc moves what lives out of packs in several records, each of which leaves a store that is whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from disks import StoppedDisk, opened, rows_of

from deltackpt import Keep, Store
from deltackpt.chunkstore.log_record import LogRecord
from deltackpt.chunkstore.pack_writer import PackWriter
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.fs.disk import Disk
from deltackpt.maintenance import condemn
from deltackpt.maintenance.gc import Collector

COMMITS, SIZE = 8, 40_000


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything goes to packs of a commit each, and a record copies no more than three chunks out of packs."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (0,))
    monkeypatch.setattr(PackWriter.__init__, "__defaults__", (400_000,))
    monkeypatch.setattr(condemn, "MOST_CHUNKS", 4)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SIZE, dtype=np.uint8)


@pytest.fixture
def scattered(store: Store) -> Store:
    """The last commit stands on a chunk or two of every pack; the others of it are garbage."""
    kept: dict[str, np.ndarray] = {}
    for step in range(COMMITS):
        kept |= {f"{step}.a": noise(step), f"{step}.b": noise(100 + step)}
        store.commit({**kept, "x": noise(1_000 + step), "y": noise(2_000 + step)}, step=step)
    store.prune(Keep(last=1))
    return store


def told(store: Store, after: int) -> list[LogRecord]:
    return [one.record for one in store._repository.chunks.log.every() if one.number > after]


def last(store: Store) -> int:
    return store._repository.chunks.look_now(lambda view: view.applied)


def size_of(store: Store) -> int:
    packs = os.path.join(store.path, "packs")
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(packs) for name in names)


def test_no_record_copies_more_than_a_few_chunks(scattered: Store) -> None:
    expected, before, size = scattered.load("main"), last(scattered), size_of(scattered)
    heard: list[tuple[int, int]] = []
    collector = Collector(scattered._repository, progress=lambda done, total: heard.append((done, total)))
    plan = collector.execute(collector.plan())
    condemning = [record for record in told(scattered, before) if record.operation == "gc-condemn"]
    assert len(condemning) == len(plan.steps) > 4
    assert all(sum(pack.records for pack in record.packs) <= 3 for record in condemning)
    assert {pack for record in condemning for pack in record.condemned} == set(plan.condemned)
    assert size - size_of(scattered) == plan.freed_bytes > 0
    written = sum(place.entry.head.stored_length for place in plan.copied)
    assert heard[-1][0] == written <= heard[-1][1] == plan.written_bytes
    loaded = scattered.load("main")
    assert all(np.array_equal(loaded[name], value) for name, value in expected.items())
    assert scattered.verify(data=True).problems == []


def test_a_pack_is_never_parted(scattered: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condemn, "MOST_CHUNKS", 1)
    steps = Collector(scattered._repository).plan().steps
    assert {len(step.condemned) for step in steps} == {1}
    assert max(len(step.copied) for step in steps) > 1


def test_a_store_of_very_many_chunks_takes_larger_steps(scattered: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condemn, "MOST_RECORDS", 2)
    assert len(Collector(scattered._repository).plan().steps) <= 3


def test_interrupted_between_any_two_records(scattered: Store) -> None:
    original, expected = Path(scattered.path), scattered.load("main")
    stopped = 0
    while stopped < 40:
        copy = original.with_name(f"copy-{stopped}")
        shutil.copytree(original, copy)
        try:
            opened(str(copy), StoppedDisk(stopped), threads=1).gc()
            break
        except KeyboardInterrupt:
            stopped += 1
        with Store(copy) as store:
            kept_up = rows_of(store)
            store._repository.chunks.rebuild()
            assert rows_of(store) == kept_up
            store.commit({"late": noise(1_000), "early": noise(0)}, step=100)
            store.gc()
            assert np.array_equal(store.load("main")["early"], noise(0))
            loaded = store.load("main~1")
            assert all(np.array_equal(loaded[name], value) for name, value in expected.items())
            assert store.verify(data=True).problems == []
            assert store.gc(dry_run=True).empty
    assert stopped > 6


def test_a_writer_brings_back_what_a_later_step_would_take(scattered: Store) -> None:
    """Packs of later steps come to life again while the first step is published: they stay."""
    back = {"x": noise(1_003), "y": noise(2_003), "z": noise(1_005)}

    class Meanwhile(Disk):
        done = False

        def link(self, source: str, target: str) -> None:
            super().link(source, target)
            if not self.done:
                self.done = True
                with Store(scattered.path) as other:
                    other.commit(back, branch="back")

    before = last(scattered)
    plan = opened(scattered.path, Meanwhile(), threads=1).gc()
    condemned = {pack for record in told(scattered, before) for pack in record.condemned}
    assert condemned < set(plan.condemned)
    loaded = scattered.load("back")
    assert all(np.array_equal(loaded[name], value) for name, value in back.items())
    assert scattered.verify(data=True).problems == []
    assert not scattered.gc().empty
    assert scattered.verify(data=True).problems == []
