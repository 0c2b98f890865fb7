"""gc, story by story: what it frees to the byte, what it keeps alive, and what happens beside it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from disks import InterruptedDisk, opened, packs, tables_of, truth

from deltackpt import Store
from deltackpt.chunkstore.pack import HEADER_SIZE, TRAILER_SIZE
from deltackpt.chunkstore.reader import ChunkNotFoundError
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.errors import NotFoundError
from deltackpt.fs.disk import Disk
from deltackpt.history.deletion import delete
from deltackpt.history.objects import Part, decode
from deltackpt.ids import ChunkId
from deltackpt.maintenance.gc import Collector
from deltackpt.maintenance.litter import SPARED_SECONDS
from deltackpt.maintenance.survey import SurveyError

SIZE = 60_000


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything over 8 KB goes to packs."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (8_000,))


def noise(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def changed(array: np.ndarray, every: int = 97) -> np.ndarray:
    """A little different, so that a delta pays."""
    return array + (np.arange(len(array)) % every == 0).astype(np.uint8)


def pack_bytes(store: Store) -> int:
    return sum(path.stat().st_size for path in packs(store))


def chunk_of(array: np.ndarray) -> ChunkId:
    return ChunkId.of(array.tobytes())


def location(store: Store, array: np.ndarray) -> object:
    return store._repository.chunks.look(lambda view: view.chunk(chunk_of(array)))


def age(*paths: Path, seconds: float = SPARED_SECONDS + 1) -> None:
    for path in paths:
        os.utime(path, (time.time() - seconds,) * 2)


def test_freed_bytes_are_exact(store: Store) -> None:
    store.commit({"kept": noise(1), "lost": noise(2)}, branch="dev")
    store.commit({"kept": noise(1)})
    store.commit({"alone": noise(3)}, branch="other")
    store.delete_branch("dev")
    store.delete_branch("other")
    before = pack_bytes(store)
    plan = store.gc(dry_run=True)
    assert pack_bytes(store) == before, "a dry run changes nothing"
    assert plan.freed_bytes > 2 * SIZE
    assert store.gc() == plan
    assert before - pack_bytes(store) == plan.freed_bytes
    assert plan.removed_bytes - plan.written_bytes == plan.freed_bytes
    assert store.gc().freed_bytes == 0, "once is enough"
    assert np.array_equal(store.load("main")["kept"], noise(1))


def test_nothing_to_do_is_not_recorded(store: Store) -> None:
    store.commit({"w": noise(1)})
    before = truth(store)
    assert store.gc().empty
    assert truth(store) == before


def test_the_base_of_a_live_delta_stays(store: Store) -> None:
    store.commit({"w": noise(1)}, branch="dev")
    store.commit({"w": changed(noise(1))}, branch="dev")
    store.branch("kept", "dev")
    head = store.resolve("dev")
    assert location(store, changed(noise(1))).base == chunk_of(noise(1))
    # What makes the parent garbage: a line of its own with the same contents.
    store.commit({"w": changed(noise(1))}, branch="new", parent=None)
    for name in ("dev", "kept"):
        store.delete_branch(name)
    store.gc()
    with pytest.raises(NotFoundError):
        store.load(head)
    assert location(store, noise(1)) is not None
    assert np.array_equal(store.load("new")["w"], changed(noise(1)))
    assert store.verify(data=True).ok


def test_a_rewritten_pack_keeps_every_live_chunk(store: Store) -> None:
    live = {f"w{i}": noise(i, 40_000) for i in range(5)} | {f"b{i}": noise(50 + i, 900) for i in range(9)}
    dead = {f"d{i}": noise(100 + i, 40_000) for i in range(3)}
    store.commit({**live, **dead}, branch="dev")
    store.commit(live)
    store.commit({name: changed(value) for name, value in live.items()})
    store.delete_branch("dev")
    old = packs(store)
    plan = store.gc()
    assert plan.condemned
    assert plan.copied
    assert plan.freed_bytes > 110_000
    assert old[0] not in packs(store) or old[1] not in packs(store)
    for name, value in live.items():
        assert np.array_equal(store.load("main~1")[name], value)
        assert np.array_equal(store.load("main")[name], changed(value))
    assert store.verify(data=True).ok


def test_garbage_on_a_base_that_went_is_forgotten_and_stored_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, delta = noise(1), changed(noise(1))
    store.commit({"w": base}, branch="dev")
    # The delta shares its pack with something that lives, and is too little of it to be worth a rewrite.
    store.commit({"w": delta, "kept": noise(5, 400_000)}, branch="dev")
    store.commit({"kept": noise(5, 400_000)})
    assert location(store, delta).base == chunk_of(base)
    holder = location(store, delta).pack
    store.delete_branch("dev")
    store.gc()
    assert location(store, noise(5, 400_000)).pack == holder, "the pack stays"
    assert location(store, base) is None
    assert location(store, delta) is None, "it could not be decoded any more"
    again = store.commit({"w": delta})
    assert np.array_equal(store.load(again)["w"], delta)
    store._repository.chunks.rebuild()
    assert np.array_equal(store.load(again)["w"], delta), "an index built anew agrees"
    assert store.verify(data=True).ok


def test_packs_of_a_killed_writer_go_after_an_hour(store: Store) -> None:
    class Dies(Disk):
        def link(self, source: str, target: str) -> None:
            raise SystemExit("killed before the record has its number")

        def unlink(self, path: str) -> None:
            """Nobody cleans up."""

    store.commit({"w": noise(1)})
    known = set(packs(store))
    dying = opened(store.path, Dies(), threads=1)
    with pytest.raises(SystemExit):
        dying.commit({"w": noise(2)})
    (orphan,) = set(packs(store)) - known
    size = orphan.stat().st_size
    assert store.gc().empty, "a young pack may belong to a writer that is at work"
    age(orphan)
    plan = store.gc()
    assert plan.freed_bytes == size
    assert set(packs(store)) == known
    assert store.verify(data=True).ok


def test_an_old_pack_whose_writer_wakes_up_is_written_again(store: Store) -> None:
    store.commit({"w": noise(1)})

    def an_hour_passes() -> None:
        age(*packs(store))
        assert store.gc().orphans

    slow = opened(store.path, InterruptedDisk(an_hour_passes), threads=1)
    made = slow.commit({"w": noise(2)})
    assert np.array_equal(store.load(made)["w"], noise(2))
    assert store.verify(data=True).ok


def test_a_pack_that_is_published_while_gc_plans_is_no_orphan(store: Store) -> None:
    """The writer wakes up between gc's plan and the record that would claim its pack."""
    store.commit({"w": noise(1)})
    plans: list[tuple[Collector, object]] = []

    def plan_only() -> None:
        age(*packs(store))
        collector = Collector(store._repository)
        plans.append((collector, collector.plan()))

    made = opened(store.path, InterruptedDisk(plan_only), threads=1).commit({"w": noise(2)})
    ((collector, plan),) = plans
    assert plan.orphans
    collector.execute(plan)
    assert np.array_equal(store.load(made)["w"], noise(2))
    assert store.verify(data=True).ok


def test_a_commit_that_finds_garbage_while_gc_completes_twice(store: Store) -> None:
    """Between the dedup hit and the publish, gc condemns and unlinks what was found."""
    store.commit({"w": noise(1)}, branch="dev")
    store.commit({"v": noise(3)})
    store.delete_branch("dev")

    def gc_twice() -> None:
        assert store.gc().freed_bytes > SIZE
        store.gc()

    slow = opened(store.path, InterruptedDisk(gc_twice), threads=1)
    made = slow.commit({"w": noise(1), "v": noise(3)})
    assert np.array_equal(store.load(made)["w"], noise(1))
    assert store.verify(data=True).ok


def test_a_parent_that_gc_drops_before_the_commit_begins_is_no_base(store: Store) -> None:
    """A parent outside of every branch: its manifest is still in memory when its chunks are gone."""
    writer = opened(store.path, Disk(), threads=1)
    parent = writer.commit({"w": noise(1), "v": noise(2)}, branch="dev")
    store.commit({"v": noise(3)})
    store.delete_branch("dev")
    store.gc()
    with pytest.raises(NotFoundError):
        writer.commit({"w": noise(1), "v": noise(2)}, branch="new", parent=parent)
    assert store.verify(data=True).ok


def test_a_parent_that_gc_drops_during_the_commit_is_an_error_not_a_loss(store: Store) -> None:
    writer = opened(store.path, InterruptedDisk(lambda: None), threads=1)
    parent = writer.commit({"w": noise(1), "v": noise(2)}, branch="dev")
    store.commit({"v": noise(3)})

    def lose_the_parent() -> None:
        store.delete_branch("dev")
        store.gc()

    slow = opened(store.path, InterruptedDisk(lose_the_parent), threads=1)
    with pytest.raises(NotFoundError):
        slow.commit({"w": noise(1), "v": noise(2)}, branch="new", parent=parent)
    assert store.verify(data=True).ok


def test_a_thinned_part_is_no_base(store: Store) -> None:
    """The parent is there, a part of it is purged, and the writer still has its manifest in memory."""
    writer = opened(store.path, Disk(), threads=1)
    state = {"model": {"w": noise(1)}, "optimizer": {"m": noise(2)}}
    first = writer.commit(state)
    delete(store._repository, [], [(first, "optimizer")])
    assert store.gc().freed_bytes > 50_000
    again = writer.commit(state)
    assert np.array_equal(store.load(again)["optimizer"]["m"], noise(2))
    assert store.verify(data=True).ok


def test_two_collectors_at_once(store: Store) -> None:
    store.commit({"kept": noise(1), "lost": noise(2)}, branch="dev")
    store.commit({"kept": noise(1)})
    store.delete_branch("dev")
    other = Store(store.path)
    slow = opened(store.path, InterruptedDisk(lambda: assert_freed(other)), threads=1)
    slow.gc()
    assert np.array_equal(store.load("main")["kept"], noise(1))
    assert store.verify(data=True).ok
    assert store.gc().freed_bytes == 0


def assert_freed(store: Store) -> None:
    assert store.gc().freed_bytes > 0


def test_a_reader_goes_on_while_its_pack_is_rewritten(store: Store) -> None:
    store.commit({"kept": noise(1), "lost": noise(2)}, branch="dev")
    commit = store.commit({"kept": noise(1)})
    store.delete_branch("dev")
    reader = Store(store.path)
    lazy = reader.reader(commit)
    store.gc()
    assert np.array_equal(np.asarray(lazy.tensor("kept")[:]), noise(1))


def test_a_reader_whose_commit_is_dropped_gets_a_typed_error(store: Store) -> None:
    commit = store.commit({"w": noise(1)}, branch="dev")
    store.commit({"v": noise(2)})
    reader = Store(store.path)
    lazy = reader.reader(commit)
    store.delete_branch("dev")
    store.gc()
    with pytest.raises(ChunkNotFoundError, match="is in no pack"):
        lazy.tensor("w")[:]


def test_gc_stops_when_a_pack_is_missing(store: Store) -> None:
    store.commit({"w": noise(1)})
    store.commit({"w": noise(2)}, branch="dev")
    store.delete_branch("dev")
    lost = packs(store)[0]
    data = lost.read_bytes()
    lost.unlink()
    before = truth(store)
    with pytest.raises(SurveyError, match=r"is missing; nothing was deleted"):
        store.gc()
    assert truth(store) == before
    lost.write_bytes(data)
    assert store.gc().freed_bytes > 0


def test_gc_does_not_trust_the_index(store: Store) -> None:
    """An index that has lost a branch hides a commit from everyone but gc."""
    store.commit({"w": noise(1)})
    store.commit({"w": noise(2)}, branch="hidden")
    with tables_of(store) as tables:
        tables.delete(b"refs", b"heads/hidden")
    assert "hidden" not in store.branches()
    assert store.gc().empty
    store._repository.chunks.rebuild()
    assert np.array_equal(store.load("hidden")["w"], noise(2))


def test_a_tensor_that_holds_a_manifest_hides_nothing(store: Store) -> None:
    """The chunk of a tensor may be the very bytes of another commit's group of tensors."""
    state = {f"w{i:03}": noise(i, 700) for i in range(40)} | {"big": noise(99)}
    store.commit(state, branch="dev")
    part = store.resolve("dev").part_named("")
    manifests = store._repository.manifests
    groups = [manifests.object(group) for group in decode(manifests.object(part.id), Part).groups]
    store.commit(
        {"copy": np.frombuffer(groups[0], np.uint8), "part": np.frombuffer(manifests.object(part.id), np.uint8)}
    )
    store.gc()
    assert np.array_equal(store.load("dev")["big"], noise(99))
    assert store.verify(data=True).ok


def interleaved(store: Store, first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    """Two commits of the same chunks, neither of which has seen the other's: each brings a copy."""
    slow = opened(store.path, InterruptedDisk(lambda: store.commit(second, branch="b")), threads=1)
    slow.commit(first, branch="a")


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_copies_of_one_chunk_and_an_index_that_never_saw_the_first(store: Store, order: tuple[str, str]) -> None:
    """Whoever builds the index when a pack is gone already must agree with whoever saw it."""
    interleaved(store, {"w": noise(1), "a": noise(2)}, {"w": noise(1), "b": noise(3, 200_000)})
    for branch in order:
        store.delete_branch(branch)
        store.gc()
        agree(store)
        store.commit({"w": noise(1), "n": noise(ord(branch))}, branch=f"after-{branch}")
        agree(store)
        store.gc()
        agree(store)
    assert store.verify(data=True).ok


def agree(store: Store) -> None:
    def table() -> dict[object, object]:
        return store._repository.chunks.look_now(lambda view: dict(view.chunks()))

    kept_up = table()
    store._repository.chunks.rebuild()
    assert table() == kept_up


def test_interrupted_anywhere_the_next_gc_takes_over(store: Store) -> None:
    calls = 0

    class Stops(Disk):
        def __init__(self, after: int) -> None:
            self.left = after

        def _step(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt

        def link(self, source: str, target: str) -> None:
            self._step()
            super().link(source, target)

        def unlink(self, path: str) -> None:
            self._step()
            super().unlink(path)

    for after in range(12):
        store.commit({"kept": noise(1), "lost": noise(200 + after)}, branch="dev")
        store.commit({"kept": noise(1)}, branch="main")
        store.delete_branch("dev")
        try:
            opened(store.path, Stops(after), threads=1).gc()
        except KeyboardInterrupt:
            calls += 1
        assert np.array_equal(store.load("main")["kept"], noise(1))
        for path in Path(store.path).glob("*/**/*"):
            if path.is_file() and "index" not in path.parts:
                age(path)
        store.gc()
        assert np.array_equal(store.load("main")["kept"], noise(1))
        assert store.verify(data=True).ok
        assert not list(Path(store.path, "log").glob(".*"))
    assert calls > 3


def test_what_is_written_is_capped_and_the_next_gc_goes_on(store: Store) -> None:
    for seed in range(4):
        store.commit({"kept": noise(seed), "lost": noise(10 + seed)}, branch="dev", parent=None, on_conflict="fail")
        store.commit({f"w{number}": noise(number) for number in range(seed + 1)})
        store.delete_branch("dev")
    everything = store.gc(dry_run=True)
    assert everything.written_bytes > 4 * SIZE
    heard: list[tuple[int, int]] = []
    first = store.gc(max_repack_bytes=2 * SIZE + 4_000, progress=lambda done, total: heard.append((done, total)))
    assert 2 * SIZE < first.written_bytes <= 2 * SIZE + 4_000
    assert heard[-1][0] <= heard[-1][1] == first.written_bytes
    rest = store.gc()
    frame = HEADER_SIZE + TRAILER_SIZE
    assert rest.freed_bytes + first.freed_bytes == everything.freed_bytes - frame, "one pack more"
    assert store.verify(data=True).ok


def test_packs_with_little_garbage_are_rewritten_when_asked(store: Store) -> None:
    store.commit({"kept": noise(1, 5 * SIZE), "lost": noise(2, SIZE // 4)}, branch="dev")
    store.commit({"kept": noise(1, 5 * SIZE)})
    store.delete_branch("dev")
    assert not store.gc(dry_run=True).copied
    assert store.gc(min_dead=0.02).copied
    assert store.verify(data=True).ok


def test_what_another_gc_took_meanwhile_is_no_damage(store: Store) -> None:
    shared = noise(1, 100_000)
    for number, branch in enumerate(("main", "side", "dead")):
        store.commit({"shared": shared, "own": noise(10 + number, 100_000)}, branch=branch, parent=None)
    store.delete_branch("dead")
    collector = Collector(store._repository)
    plan = collector.plan()
    with Store(store.path) as other:
        other.delete_branch("side")
        other.gc()
    before = store._repository.chunks.look_now(lambda view: view.applied)
    collector.execute(plan)
    assert store._repository.chunks.look_now(lambda view: view.applied) == before
    assert store.gc().empty
    with Store(store.path) as other:
        assert np.array_equal(other.load("main")["shared"], shared)
        assert other.verify(data=True).problems == []
