"""Stores to be damaged, and what must hold of a store that was mended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from deltackpt import Options, Store
from deltackpt.chunkstore.location import Location
from deltackpt.ids import ChunkId
from deltackpt.maintenance.repair.plan import RepairPlan

SIZE = 40_000
STEPS = (1, 2, 3, 4)
State = dict[str, object]


def noise(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def w_at(step: int) -> np.ndarray:
    """A tensor of which a few values change with every step."""
    w = noise(0)
    for number in range(1, step + 1):
        w = w + (np.arange(SIZE) % 97 == number).astype(np.uint8)
    return w


def state(step: int) -> State:
    """``w`` becomes a chain of deltas, ``v`` is new each time, ``f`` never changes, the rest is small."""
    small = {f"b{number}": noise(100 * step + number, 300) for number in range(8)}
    return {"model": {"w": w_at(step), "v": noise(step + 10), "f": noise(99), **small}, "n": step}


def build(path: Path) -> Store:
    """A store of four commits, each with a pack of its own; the last one is tagged."""
    store = Store.init(path, options=Options(chain_budget=1000.0))
    for step in STEPS:
        store.commit(state(step), step=step)
    store.tag("kept")
    return store


def place_of(store: Store, plain: np.ndarray) -> Location:
    found = store._repository.chunks.look(lambda view: view.chunk(ChunkId.of(plain.tobytes())))
    assert found is not None
    return found


def pack_of(store: Store, plain: np.ndarray) -> Path:
    """The pack that holds the chunk of these bytes."""
    return Path(store._repository.chunks.layout.pack(place_of(store, plain).pack))


def lost(plan: RepairPlan) -> dict[int | None, set[str]]:
    """Names of tensors that cannot be had, by step."""
    found: dict[int | None, set[str]] = {}
    for problem in plan.losses:
        for affected in problem.affects:
            found.setdefault(affected.step, set()).update(affected.tensors or (f"({affected.part})",))
    return found


def loads(store: Store, step: int, without: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Every tensor of a commit but those ``without`` is what was committed, bit for bit."""
    expected = state(step)["model"]
    assert isinstance(expected, dict)
    reader = store.reader(f"step:{step}")
    for name, value in expected.items():
        if f"model/{name}" not in without:
            assert reader.tensor(f"model/{name}")[...].tobytes() == value.tobytes(), name


@contextmanager
def again(path: str | Path) -> Iterator[Store]:
    """The store as another process finds it, without an index."""
    with Store(path) as store:
        folder = store.index_path
    shutil.rmtree(folder)
    with Store(path) as store:
        yield store


def rows(store: Store) -> dict[str, object]:
    """Everything in the index that the log decides."""

    def everything(view):  # type: ignore[no-untyped-def]
        return {
            "chunks": dict(view.chunks()),
            "refs": view.refs(),
            "order": view.order(),
            "packs": {pack: (row.size, row.records) for pack, row in view.packs().items()},
            "lost": view.lost(),
        }

    return store._repository.chunks.look_now(everything)


def check_mended(path: str | Path, losses: dict[int | None, set[str]]) -> None:
    """Nothing but ``losses`` is missing, a second repair has nothing to do, an index made anew is the same one.

    And life goes on: the next commit, gc, and the other commits after that.
    """
    with Store(path) as store:
        problems = store.verify(data=True).problems
        assert all("declared lost" in problem.what for problem in problems), problems
        second = Store.repair(path)
        assert second.empty
        assert lost(second) == losses
        before = rows(store)
        with again(path) as other:
            assert rows(other) == before
        for step in STEPS:
            loads(store, step, losses.get(step, set()))
        store.commit(state(9), step=9, branch="later")
        store.gc()
        store.delete_branch("later")
        store.gc()
        for step in STEPS:
            loads(store, step, losses.get(step, set()))
        assert all("declared lost" in problem.what for problem in store.verify(data=True).problems)
