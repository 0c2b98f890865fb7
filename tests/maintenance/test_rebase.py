"""Deltas that leave a dead base: what gc encodes anew, what that frees to the byte, and what it must not touch."""

from __future__ import annotations

import numpy as np
import pytest
from disks import packs, rows_of

from deltackpt import Options, Store
from deltackpt.chunkstore.location import Location
from deltackpt.chunkstore.transaction import Decision, StaleTransactionError, Transaction
from deltackpt.history.deletion import delete
from deltackpt.ids import ChunkId
from deltackpt.maintenance import reencode
from deltackpt.maintenance.gc import Collector
from deltackpt.maintenance.reencode import Reencoder

SIZE = 60_000


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything over 8 KB goes to packs."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (8_000,))


def walk(steps: int, size: int = SIZE, seed: int = 0) -> list[np.ndarray]:
    """Noise that drifts: what a step adds is nearly half of what the whole takes."""
    rng = np.random.default_rng(seed)
    states = [rng.integers(0, 256, size, dtype=np.uint8)]
    for _ in range(steps - 1):
        states.append(states[-1] + rng.integers(0, 8, size, dtype=np.uint8))
    return states


def location(store: Store, array: np.ndarray) -> Location | None:
    return store._repository.chunks.look(lambda view: view.chunk(ChunkId.of(array.tobytes())))


def pack_bytes(store: Store) -> int:
    return sum(path.stat().st_size for path in packs(store))


def committed(store: Store, states: list[np.ndarray]) -> list[np.ndarray]:
    for step, state in enumerate(states):
        store.commit({"w": state}, step=step)
    return states


def drop(store: Store, *steps: int) -> None:
    delete(store._repository, [store.resolve(f"step:{step}") for step in steps])


def assert_whole(store: Store, states: dict[int, np.ndarray]) -> None:
    for step, state in states.items():
        assert np.array_equal(store.load(f"step:{step}")["w"], state)
    assert store.verify(data=True).ok
    kept = rows_of(store)
    store._repository.chunks.rebuild()
    assert rows_of(store) == kept, "an index built anew agrees"


def test_the_last_commit_of_a_chain_stands_alone_when_the_others_go(store: Store) -> None:
    states = committed(store, walk(3))
    assert location(store, states[2]).base == ChunkId.of(states[1].tobytes())
    before = pack_bytes(store)
    drop(store, 0, 1)
    plan = store.gc(dry_run=True)
    assert len(plan.rebased) == 1
    assert store.gc() == plan
    assert before - pack_bytes(store) == plan.freed_bytes
    assert location(store, states[2]).base is None
    assert location(store, states[0]) is None
    assert location(store, states[1]) is None
    assert pack_bytes(store) < SIZE * 1.1
    assert_whole(store, {2: states[2]})
    assert store.gc().empty, "once is enough"


def test_deltas_on_one_dead_keyframe_stand_on_the_first_of_them(store: Store) -> None:
    first, *others = walk(4)
    root = store.commit({"w": first}, branch="root")
    for number, state in enumerate(others):
        store.commit({"w": state}, branch=f"b{number}", parent="root")
        assert location(store, state).base == ChunkId.of(first.tobytes())
    store.delete_branch("root")
    delete(store._repository, [root])
    store.gc()
    assert location(store, first) is None
    assert location(store, others[0]).base is None
    assert [location(store, state).base for state in others[1:]] == [ChunkId.of(others[0].tobytes())] * 2
    for number, state in enumerate(others):
        assert np.array_equal(store.load(f"b{number}")["w"], state)
    assert store.verify(data=True).ok


def test_a_delta_steps_over_dead_ones_to_a_live_base(store: Store) -> None:
    states = committed(store, walk(3))
    drop(store, 1)
    store.gc()
    assert location(store, states[1]) is None
    assert location(store, states[2]).base == ChunkId.of(states[0].tobytes())
    assert_whole(store, {0: states[0], 2: states[2]})


def test_bundled_chunks_leave_together(store: Store) -> None:
    walks = [walk(2, 3_000, seed) for seed in range(30)]
    first, second = ({f"t{i}": states[step] for i, states in enumerate(walks)} for step in (0, 1))
    store.commit(first, step=0)
    store.commit(second, step=1)
    place = location(store, second["t0"])
    assert (place.members > 1, place.base) == (True, ChunkId.of(first["t0"].tobytes()))
    drop(store, 0)
    store.gc()
    assert location(store, first["t0"]) is None
    assert location(store, second["t0"]).base is None
    loaded = store.load("main")
    assert all(np.array_equal(loaded[name], value) for name, value in second.items())
    assert store.verify(data=True).ok


def test_it_stays_when_that_would_free_less_than_it_costs(store: Store) -> None:
    state = walk(1)[0]
    almost = state + (np.arange(SIZE) % 97 == 0).astype(np.uint8)
    committed(store, [state, almost])
    drop(store, 0)
    assert not store.gc().rebased
    assert location(store, almost).base == ChunkId.of(state.tobytes())
    assert_whole(store, {1: almost})


def test_it_stays_when_that_frees_too_little_of_the_store(store: Store) -> None:
    committed(store, walk(3))
    drop(store, 1)
    assert not Collector(store._repository, min_dead=0.5).plan().rebased
    assert Collector(store._repository, min_dead=0.1).plan().rebased


def test_what_stands_on_a_rebased_delta_is_read_as_before(store: Store) -> None:
    states = committed(store, walk(3))
    drop(store, 0)
    store.gc()
    assert location(store, states[1]).rank == 0
    top = location(store, states[2])
    assert (top.base, top.rank) == (ChunkId.of(states[1].tobytes()), 2), "its record did not change"
    assert_whole(store, {1: states[1], 2: states[2]})


def test_a_commit_that_comes_between_plan_and_deed_keeps_its_base(store: Store) -> None:
    states = walk(4)
    committed(store, states[:3])
    drop(store, 0, 1)
    collector = Collector(store._repository)
    plan = collector.plan()
    with Store(store.path) as other:
        other.commit({"w": states[3]}, step=3)
        assert location(other, states[3]).base == ChunkId.of(states[2].tobytes())
    collector.execute(plan)
    assert_whole(store, {2: states[2], 3: states[3]})


def test_a_base_that_cannot_be_read_is_left_alone(store: Store) -> None:
    states = committed(store, walk(2))
    place = location(store, states[0])
    file = next(path for path in packs(store) if path.stem == place.pack.hex())
    damaged = bytearray(file.read_bytes())
    damaged[place.offset + 200] ^= 1
    file.write_bytes(damaged)
    drop(store, 0)
    with Store(store.path) as other:
        assert not other.gc().rebased
        assert location(other, states[0]) is not None


def test_a_footing_that_rose_before_the_deed_is_not_stood_on(store: Store) -> None:
    """As when a repack comes while gc is still encoding: before gc's transaction, which watches from then on."""
    states = committed(store, walk(4))
    drop(store, 0)
    store.gc()
    assert [location(store, state).rank for state in states[1:]] == [0, 2, 3]
    below = states[1] + (np.arange(SIZE) % 97 == 0).astype(np.uint8)
    with Store(store.path, options=Options(chain_budget=0.5)) as thrifty:
        thrifty.commit({"w": below}, branch="side", parent=None)
    drop(store, 2)
    collector = Collector(store._repository)
    plan = collector.plan()
    assert [record.head.bases for record in plan.rebased] == [(ChunkId.of(states[1].tobytes()),)]
    with Store(store.path) as other:
        raised(other, states[1], below)
    assert location(store, states[1]).rank == 1
    with pytest.raises(StaleTransactionError):
        collector.execute(plan)
    store.gc()
    with Store(store.path) as other:
        assert_whole(other, {1: states[1], 3: states[3]})


def test_a_bundle_whose_payload_was_not_kept_is_encoded_again_as_planned(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though one of its old record's chunks, garbage when it was planned, is needed again by now."""
    monkeypatch.setattr(reencode, "KEPT_BYTES", 0)
    walks = [walk(2, 3_000, seed) for seed in range(30)]
    first, second = ({f"t{i}": states[step] for i, states in enumerate(walks)} for step in (0, 1))
    store.commit(first, branch="dead")
    store.commit(second, branch="dead")
    live = {name: value for name, value in second.items() if name != "t0"}
    store.commit(live, parent=None)
    store.commit({"junk": walk(1, seed=99)[0]}, branch="junk", parent=None)
    for branch in ("dead", "junk"):
        store.delete_branch(branch)
    collector = Collector(store._repository)
    plan = collector.plan()
    assert [len(record.head.members) for record in plan.rebased] == [29]
    with Store(store.path) as other:
        other.commit({"t0": second["t0"]}, branch="again", parent=None)
    collector.look()
    collector.execute(plan)
    with Store(store.path) as other:
        assert all(np.array_equal(other.load("main")[name], value) for name, value in live.items())
        assert np.array_equal(other.load("again")["t0"], second["t0"])
        assert other.verify(data=True).problems == []


def test_payloads_that_are_written_or_taken_back_are_not_counted(store: Store) -> None:
    states = committed(store, walk(3))
    collector = Collector(store._repository)
    collector.look()
    reencoder = Reencoder(collector.survey, store._repository.reader, collector.marks.chunks)
    planned = [reencoder.plan(collector.survey.in_use[ChunkId.of(s.tobytes())], [], 100.0) for s in states]
    assert reencoder._kept_bytes == sum(record.head.payload_length for record in planned)
    for record in planned[:2]:
        reencoder.payload(record)
    reencoder.take_back(planned)
    assert reencoder._kept_bytes == 0


def raised(store: Store, array: np.ndarray, base: np.ndarray) -> None:
    """Encode ``array`` anew, as a delta on ``base``."""
    collector = Collector(store._repository)
    collector.look()
    place = collector.survey.in_use[ChunkId.of(array.tobytes())]
    reencoder = Reencoder(collector.survey, store._repository.reader, collector.marks.chunks)
    footing = reencoder.footing([ChunkId.of(base.tobytes())], place.entry.head.members)
    record = reencoder.plan(place, [footing], 100.0)
    assert record.head.rank == 1
    with Transaction(store._repository.chunks, store._repository.reader, inline_limit=0) as transaction:
        transaction.put(record.head, reencoder.payload(record))
        transaction.supersede(ChunkId.of(array.tobytes()))
        transaction.publish(lambda view: Decision("raise"))
