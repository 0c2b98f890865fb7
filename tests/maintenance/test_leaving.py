"""A large gc tells what is gone in several records, each of which leaves a store that is whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from disks import StoppedDisk, opened, packs, rows_of

from deltackpt import Keep, Store
from deltackpt.chunkstore.log_record import LogRecord
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.maintenance import leaving

COMMITS = 9


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything goes to packs, of which a record takes two, or two commits."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (0,))
    monkeypatch.setattr(leaving, "MOST_PACKS", 2)
    monkeypatch.setattr(leaving, "MOST_COMMITS", 2)


@pytest.fixture
def pruned(store: Store) -> Store:
    """Each commit is a delta on the one before it, and none but the last is kept."""
    noise = np.random.default_rng(1).integers(0, 256, 60_000, dtype=np.uint8)
    for step in range(COMMITS):
        store.commit({"w": noise + (np.arange(60_000) % 97 < step).astype(np.uint8)}, step=step)
    store.prune(Keep(last=1))
    return store


def told(store: Store, after: int) -> list[LogRecord]:
    """What gc said since that record."""
    log = store._repository.chunks.log
    return [one.record for one in log.every() if one.number > after and one.record.operation == "gc"]


def last(store: Store) -> int:
    return store._repository.chunks.look_now(lambda view: view.applied)


def test_commits_go_first_and_deltas_before_their_bases(pruned: Store) -> None:
    before, order = last(pruned), list(pruned._repository.chunks.look_now(lambda view: view.packs()))
    pruned.gc()
    records = told(pruned, before)
    assert all(len(record.purged) + len(record.dropped) <= 2 for record in records)
    assert all(not record.gone for record in records[:3])
    assert len([record for record in records if record.gone]) > 2
    assert len(packs(pruned)) < len(order)
    assert pruned.load("main")["w"].nbytes == 60_000


def test_interrupted_between_two_records_the_store_is_whole(pruned: Store) -> None:
    original, expected = Path(pruned.path), pruned.load("main")["w"].tobytes()
    finished = 0
    for records in range(40):
        copy = original.with_name(f"copy-{records}")
        shutil.copytree(original, copy)
        try:
            opened(str(copy), StoppedDisk(records), threads=1).gc()
            finished += 1
        except KeyboardInterrupt:
            pass
        with Store(copy) as store:
            assert store.load("main")["w"].tobytes() == expected
            assert store.verify(data=True).ok
            kept_up = rows_of(store)
            store._repository.chunks.rebuild()
            assert rows_of(store) == kept_up
            store.gc()
            assert store.load("main")["w"].tobytes() == expected
            assert store.gc(dry_run=True).empty
        if finished:
            break
    assert records > 6
