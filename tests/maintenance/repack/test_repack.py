"""repack, story by story: what becomes cheap to read, what it costs, and what happens beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from disks import damage, packs, rows_of

from deltackpt import Keep, Options, Store
from deltackpt.chunkstore.location import Location
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.errors import CorruptError
from deltackpt.history.deletion import delete
from deltackpt.ids import ChunkId
from deltackpt.maintenance.gc import collect
from deltackpt.maintenance.repack import repack as repacking
from deltackpt.maintenance.repack.reversal import FAVOURED_BUDGET, Reversal

STEPS = 9
State = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything over 8 KB goes to packs."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (8_000,))


@pytest.fixture(scope="module")
def run() -> list[State]:
    """Weights that drift, with small ones that share records, and their rounded values."""
    rng = np.random.default_rng(3)
    state = {"w": rng.normal(size=30_000), **{f"b{i}": rng.normal(size=300) for i in range(12)}}
    states = []
    for _ in range(STEPS):
        state = {name: value + rng.normal(scale=1e-3, size=value.shape) for name, value in state.items()}
        states.append({name: value.astype(np.float32) for name, value in state.items()})
    return states


def committed(store: Store, run: list[State], **described: Any) -> None:
    for step, state in enumerate(run):
        store.commit(state, step=step, **described)


def location(store: Store, array: np.ndarray) -> Location:
    found = store._repository.chunks.look(lambda view: view.chunk(ChunkId.of(array.tobytes())))
    assert found is not None
    return found


def assert_whole(store: Store, states: dict[str, State]) -> None:
    for ref, state in states.items():
        loaded = store.load(ref)
        assert all(np.array_equal(loaded[name], value) for name, value in state.items())
    assert store.verify(data=True).problems == []
    kept = rows_of(store)
    store._repository.chunks.rebuild()
    assert rows_of(store) == kept, "an index built anew agrees"


def steps(run: list[State]) -> dict[str, State]:
    return {f"step:{step}": state for step, state in enumerate(run)}


def test_the_newest_commit_stands_at_the_foot_of_the_chains(store: Store, run: list[State]) -> None:
    committed(store, run)
    assert location(store, run[-1]["w"]).cost > FAVOURED_BUDGET
    report = store.repack()
    assert report.records > STEPS
    assert location(store, run[-1]["w"]).base is None
    assert location(store, run[-1]["b3"]).base is None
    assert location(store, run[-2]["w"]).base == ChunkId.of(run[-1]["w"].tobytes())
    assert location(store, run[-2]["b3"]).base == ChunkId.of(run[-1]["b3"].tobytes())
    assert report.after_seconds < report.before_seconds / 2
    assert report.after_bytes == sum(path.stat().st_size for path in packs(store)) + store._repository.chunks.log.size()
    assert report.after_bytes < report.before_bytes * 1.1
    assert_whole(store, steps(run))


def test_once_is_enough(store: Store, run: list[State]) -> None:
    committed(store, run)
    store.repack()
    again = store.repack()
    assert (again.records, again.before_bytes) == (0, again.after_bytes)


def test_training_goes_on_from_a_repacked_store(store: Store, run: list[State]) -> None:
    committed(store, run[:5])
    store.repack()
    for step in (5, 6, 7):
        store.commit(run[step], step=step)
        assert location(store, run[step]["w"]).base is not None
    assert_whole(store, steps(run[:8]))


def test_tagged_and_best_commits_are_cheap_too(store: Store, run: list[State]) -> None:
    for step, state in enumerate(run):
        store.commit(state, step=step, metrics={"loss": abs(step - 2.0)}, tags=["paper"] if step == 4 else ())
    store.policy = Keep(last=20, best="min:loss")
    store.repack()
    for step in (2, 4, STEPS - 1):
        assert location(store, run[step]["w"]).cost <= FAVOURED_BUDGET
    assert_whole(store, steps(run))


def test_a_dry_run_changes_nothing_and_is_close(store: Store, run: list[State]) -> None:
    committed(store, run)
    before = rows_of(store)
    planned = store.repack(dry_run=True)
    assert rows_of(store) == before
    done = store.repack()
    assert (planned.records, planned.before_bytes) == (done.records, done.before_bytes)
    assert (planned.before_seconds, planned.after_seconds) == (done.before_seconds, done.after_seconds)
    assert abs(planned.after_bytes - done.after_bytes) < 0.05 * done.after_bytes


def test_what_was_stored_whole_becomes_deltas_when_recompressed(store: Store, run: list[State]) -> None:
    with Store(store.path, options=Options(chain_budget=0.5)) as thrifty:
        # No link fits such a budget.
        committed(thrifty, run)
    assert location(store, run[4]["w"]).base is None
    assert store.repack().records == 0, "it is cheap to read as it is"
    report = store.repack(recompress=True)
    assert report.after_bytes < report.before_bytes * 0.95
    assert_whole(store, steps(run))


def test_casts_stand_on_what_they_are_rounded_from(store: Store, run: list[State]) -> None:
    states = [{"model": {"w": s["w"].astype(np.float16)}, "optimizer": {"w": s["w"]}} for s in run]
    for step, state in enumerate(states):
        store.commit(state, step=step)
    wide, rounded = states[-1]["optimizer"]["w"], states[-1]["model"]["w"]
    assert location(store, rounded).base == ChunkId.of(wide.tobytes())
    assert store.repack().records > STEPS
    assert location(store, wide).base is None
    assert location(store, rounded).base == ChunkId.of(wide.tobytes())
    assert store.repack().records == 0
    with Store(store.path) as other:
        for step, state in enumerate(states):
            loaded = other.load(f"step:{step}")
            assert all(np.array_equal(loaded[part]["w"], state[part]["w"]) for part in state)
        assert other.verify(data=True).problems == []


def test_garbage_on_a_record_that_rose_is_forgotten(store: Store, run: list[State]) -> None:
    committed(store, run[:4])
    # Stands on the keyframe, and shares its pack with something that lives.
    rest = np.random.default_rng(0).integers(0, 256, 900_000, dtype=np.uint8)
    lost = {"w": run[0]["w"] * np.float32(1.0001), "rest": rest}
    side = store.commit(lost, branch="side", parent="step:0", on_conflict="fail", step=1)
    store.commit({"rest": rest}, branch="rest", parent=None)
    assert location(store, lost["w"]).base == ChunkId.of(run[0]["w"].tobytes())
    store.delete_branch("side")
    store.gc()
    assert store.repack().records > 4
    assert store._repository.chunks.look(lambda view: view.chunk(ChunkId.of(lost["w"].tobytes()))) is None
    assert_whole(store, steps(run[:4]))
    again = store.commit(lost, branch="side", parent="step:1")
    assert again.id != side.id
    assert_whole(store, {"side": lost})


def test_a_commit_beside_it_stands_on_what_it_finds(
    store: Store, run: list[State], monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(store, run[:6])
    monkeypatch.setattr(repacking, "STEP_BYTES", 1)
    newer = iter(run[6:8])
    publish = repacking.publish_abreast

    def overtaken(*arguments: Any) -> None:
        if (state := next(newer, None)) is not None:
            with Store(store.path) as other:
                other.commit(state)
        publish(*arguments)

    monkeypatch.setattr(repacking, "publish_abreast", overtaken)
    store.repack()
    assert_whole(store, {**steps(run[:6]), "main~1": run[6], "main": run[7]})


def test_a_gc_between_two_steps_is_made_way_for(
    store: Store, run: list[State], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(8)
    others = np.cumsum([rng.normal(size=20_000), *rng.normal(scale=1e-3, size=(STEPS - 1, 20_000))], axis=0)
    states = [{**state, "v": other.astype(np.float32)} for state, other in zip(run, others, strict=True)]
    committed(store, states)
    monkeypatch.setattr(repacking, "STEP_BYTES", 1)
    publish = repacking.publish_abreast
    steps_taken: list[int] = []

    def followed(*arguments: Any) -> None:
        publish(*arguments)
        steps_taken.append(1)
        if len(steps_taken) == 1:
            with Store(store.path) as other:
                # Moves what shares packs with the records that were taken over.
                collect(other._repository, min_dead=0.0)

    monkeypatch.setattr(repacking, "publish_abreast", followed)
    assert store.repack().records > 0
    with Store(store.path) as other:
        assert_whole(other, steps(states))


@pytest.mark.parametrize("number", range(1, 9))
def test_newest_commits_are_taken_away_meanwhile(
    store: Store, run: list[State], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """What is left is repacked, and the report is finished."""
    committed(store, run[:4])
    for state in run[4:]:
        store.commit(state, branch="short", parent="main" if state is run[4] else None)
    looks = iter(range(1, 1000))
    chunks, planned = repacking.kept_parts, Reversal.planned

    def look() -> None:
        if next(looks) == number:
            with Store(store.path) as other:
                other.delete_branch("short")
                other.gc()

    def listed(*arguments: Any) -> Any:
        look()
        return chunks(*arguments)

    def plan(*arguments: Any) -> Any:
        look()
        return planned(*arguments)

    monkeypatch.setattr(repacking, "kept_parts", listed)
    monkeypatch.setattr(Reversal, "planned", plan)
    with Store(store.path) as busy:
        assert busy.repack().after_seconds > 0
    with Store(store.path) as other:
        assert_whole(other, steps(run[:4]))


def test_what_cannot_be_read_stays_as_it_is(store: Store, run: list[State]) -> None:
    committed(store, run)
    place = location(store, run[-1]["w"])
    damage(next(path for path in packs(store) if path.stem == place.pack.hex()), place.offset + 200)
    with Store(store.path) as other:
        with pytest.raises(CorruptError, match=f"pack {place.pack.short}: checksum does not match; run"):
            other.repack()
        assert location(other, run[-1]["w"]) == place
        assert np.array_equal(other.load("main", select="b3")["b3"], run[-1]["b3"])
        assert len(other.verify(data=True).problems) == 1


def test_deleted_commits_are_left_out(store: Store, run: list[State]) -> None:
    committed(store, run)
    delete(store._repository, [store.resolve(f"step:{step}") for step in range(4)])
    store.repack()
    assert_whole(store, {f"step:{step}": run[step] for step in range(4, STEPS)})
