"""How reading is done: each link of a chain is decoded once, whatever stands on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disks import CountingDisk, FailingReads, opened

from deltackpt import Options, Store
from deltackpt.ids import ChunkId
from deltackpt.maintenance.verify import data as reading

SIZE = 400_000


def chain(step: int) -> np.ndarray:
    w = np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8)
    for number in range(step):
        w = w + (np.arange(SIZE) % 97 == number).astype(np.uint8)
    return w


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Twelve commits: a chain of eleven deltas, and small tensors that are a bundle each time."""
    folder = tmp_path_factory.mktemp("data") / "store"
    with Store.init(folder, options=Options(chain_budget=1000.0)) as store:
        for step in range(12):
            small = {f"b{number}": np.full(300, step + number / 7) for number in range(6)}
            store.commit({"w": chain(step), **small}, step=step)
        places = store._repository.chunks.look(lambda view: dict(view.chunks()))
        assert places[ChunkId.of(chain(11).tobytes())].rank == 11
        yield store


def test_a_chain_of_n_costs_n_decodings(run: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: Counter[int] = Counter()
    decode = reading.decode

    def counting(recipe: int, element: Any, payload: memoryview, out: memoryview, base: memoryview | None) -> None:
        decoded[len(out)] += 1
        decode(recipe, element, payload, out, base)

    monkeypatch.setattr(reading, "decode", counting)
    report = run.verify(data=True)
    assert report.ok
    assert decoded[SIZE] == 12


def test_every_byte_is_read_about_once(run: Store) -> None:
    disk = CountingDisk()
    with opened(run.path, disk) as store:
        report = store.verify(data=True)
    stored = sum(path.stat().st_size for path in Path(run.path).rglob("*.pack"))
    stored += sum(path.stat().st_size for path in Path(run.path, "log").glob("*/*"))
    assert report.read_bytes <= stored
    assert sum(disk.read_bytes.values()) < 1.5 * stored


def test_memory_stays_at_a_few_chunks(run: Store) -> None:
    import tracemalloc

    with Store(run.path, options=Options(threads=1)) as store:
        store.verify(data=True)
        tracemalloc.start()
        store.verify(data=True)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 14 * SIZE


def test_a_disk_that_fails_is_a_problem_not_a_crash(run: Store) -> None:
    with opened(run.path, FailingReads(3)) as store:
        report = store.verify(data=True)
    assert not report.ok
    assert all("Input/output error" in problem.what for problem in report.problems)


def test_one_thread_finds_the_same(run: Store) -> None:
    with Store(run.path, options=Options(threads=1)) as store:
        assert store.verify(data=True) == run.verify(data=True)
