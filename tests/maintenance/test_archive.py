"""A long history is a few files: epochs are sealed, what travelled inline moves to packs, records go to segments."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from disks import InterruptedDisk, damage, files, opened, packs
from faulty import Fault, FaultyDisk

from deltackpt import Store
from deltackpt.chunkstore.log import Log
from deltackpt.chunkstore.log_record import LogCorruptError
from deltackpt.fs.disk import Disk
from deltackpt.history.repository import Repository
from deltackpt.maintenance import archive, gc


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "EPOCH_RECORDS", 10)
    monkeypatch.setattr(archive, "EPOCH_RECORDS_WITHOUT_GC", 25)


def state(value: int) -> dict[str, np.ndarray]:
    return {"w": np.random.default_rng(value).integers(0, 256, 700, dtype=np.uint8), "n": np.array([value])}


def committed(store: Store, steps: Iterator[int] | range) -> None:
    for step in steps:
        store.commit(state(step), step=step)


def is_whole(store: Store, steps: int) -> bool:
    """Whether every step loads, also with an index built anew, and all bytes verify."""
    for _ in range(2):
        assert [commit.step for commit in store.log("main")] == list(reversed(range(steps)))
        for step in range(steps):
            loaded = store.load(f"step:{step}")
            assert np.array_equal(loaded["w"], state(step)["w"])
            assert np.array_equal(loaded["n"], [step])
        assert store.verify(data=True).problems == []
        store._repository.chunks.rebuild()
    return True


def in_folders(store: Store) -> list[int]:
    return sorted(int(path.stem) for path in Path(store.path, "log").glob("*/*.rec"))


def segments(store: Store) -> list[Path]:
    return sorted(Path(store.path, "segments").iterdir())


def test_a_gc_archives_what_has_grown_long(store: Store) -> None:
    committed(store, range(9))
    assert store.gc().archived == ()
    assert len(in_folders(store)) == 9
    committed(store, range(9, 12))
    plan = store.gc(dry_run=True)
    assert plan.seals
    assert len(plan.archived) == 1
    done = store.gc()
    assert (done.freed_bytes, done.removed_bytes, done.written_bytes) == (
        plan.freed_bytes,
        plan.removed_bytes,
        plan.written_bytes,
    )
    assert [int(path.name[:16]) for path in segments(store)] == [13]
    assert in_folders(store) == [14, 15]
    assert len(packs(store)) == 1
    assert len(os.listdir(os.path.join(store.path, "log"))) == 1
    assert os.listdir(os.path.join(store.path, "tmp")) == []
    assert is_whole(store, 12)


def test_the_plan_counts_every_byte(store: Store) -> None:
    committed(store, range(12))
    for step in (3, 5, 8):
        store.delete(f"step:{step}")
    before = files(store.path)
    plan = store.gc()

    def size(found: dict[str, bytes]) -> int:
        return sum(len(data) for name, data in found.items() if name.startswith(("packs/", "log/", "segments/")))

    after = files(store.path)
    own = sum(len(data) for name, data in after.items() if name.startswith("log/"))
    # The records of the gc itself, the seal among them, are not in its plan.
    assert 0 <= size(after) - own - (size(before) - plan.freed_bytes) < 200


def test_without_any_gc_commits_archive_by_themselves(store: Store) -> None:
    committed(store, range(80))
    assert len(segments(store)) == 3
    assert len(in_folders(store)) < 30
    assert is_whole(store, 80)


def test_a_gc_leaves_behind_what_is_dead_inline(store: Store) -> None:
    committed(store, range(12))
    store.commit({"dead": np.random.default_rng(99).integers(0, 256, 60_000, dtype=np.uint8)}, branch="dead")
    store.delete_branch("dead")
    store.gc()
    assert sum(path.stat().st_size for path in packs(store)) < 30_000
    assert is_whole(store, 12)


def test_dead_bytes_inline_are_worth_an_epoch_of_their_own(store: Store) -> None:
    store.commit({"dead": np.random.default_rng(99).integers(0, 256, 150_000, dtype=np.uint8)}, branch="dead")
    store.delete_branch("dead")
    store.commit(state(0), step=0)
    plan = store.gc()
    assert plan.freed_bytes > 140_000
    assert store.gc().empty
    assert is_whole(store, 1)


def test_the_oplog_reaches_back_before_archives_and_undo_too(store: Store) -> None:
    committed(store, range(12))
    store.tag("kept", "step:3")
    store.delete_tag("kept")
    number = next(operation.number for operation in store.oplog())
    committed(store, range(12, 24))
    store.gc()
    operations = list(store.oplog())
    assert [operation.number for operation in operations] == list(range(len(operations), 0, -1))
    store.undo(number)
    assert store.tags()["kept"].step == 3


def test_a_handle_that_slept_finds_its_way(store: Store) -> None:
    committed(store, range(5))
    sleeper = Store(store.path)
    assert sleeper.resolve("main").step == 4
    shutil.copytree(store.index_path, f"{store.index_path}.then")
    committed(store, range(5, 60))
    # Its index is as far back as it is itself.
    shutil.rmtree(store.index_path)
    os.rename(f"{store.index_path}.then", store.index_path)
    sleeper.commit(state(60), step=60)
    assert is_whole_up_to(sleeper, 61)


def is_whole_up_to(store: Store, steps: int) -> bool:
    return is_whole(store, steps) and Store(store.path).resolve("main").step == steps - 1


def test_a_writer_that_is_overtaken_by_archives_publishes_after_them(store: Store) -> None:
    """The number that it meant to take is in a segment by then, and its folder is gone."""
    committed(store, range(5))

    def meanwhile() -> None:
        other = Store(store.path)
        committed(other, range(5, 40))
        other.gc()

    writer = opened(store.path, InterruptedDisk(meanwhile))
    made = writer.commit({"mine": np.arange(9)}, branch="side")
    assert writer.resolve("side").id == made.id
    assert np.array_equal(writer.load("side")["mine"], np.arange(9))
    assert is_whole(store, 40)


def test_an_epoch_that_stands_in_both_places_is_taken_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a crash leaves it between the two steps."""
    committed(store, range(12))
    with monkeypatch.context() as interrupted:
        interrupted.setattr(Log, "retire", lambda self, epoch: None)
        store.gc()
    assert len(segments(store)) == 1
    assert in_folders(store) == list(range(1, 16))
    assert is_whole(store, 12)
    store.gc()
    assert in_folders(store) == [14, 15]
    assert is_whole(store, 12)


def test_a_retired_folder_that_was_left_is_swept(store: Store) -> None:
    committed(store, range(12))
    (folder,) = Path(store.path, "log").iterdir()
    store.gc()
    left = Path(store.path, "tmp", f"{folder.name}.retired")
    left.mkdir()
    (left / "0000000000000001.rec").write_bytes(b"left")
    assert store.gc(dry_run=True).removed_bytes == 4
    store.gc()
    assert not left.exists()


def test_a_damaged_segment_is_named(store: Store) -> None:
    committed(store, range(12))
    store.gc()
    (segment,) = segments(store)
    data = segment.read_bytes()
    for at in range(0, len(data), 997):
        damage(segment, at)
        assert not store.verify().ok
        shutil.rmtree(store.index_path)
        with pytest.raises(LogCorruptError, match=str(segment)):
            Store(store.path)
        segment.write_bytes(data)
        assert Store(store.path).resolve("main").step == 11
    shutil.rmtree(store.index_path)
    for length in (0, 39, len(data) // 2, len(data) - 1):
        segment.write_bytes(data[:length])
        with pytest.raises(LogCorruptError, match=str(segment)):
            Store(store.path)
    segment.write_bytes(data)
    assert is_whole(store, 12)


def test_a_lost_segment_is_named(store: Store) -> None:
    committed(store, range(12))
    store.gc()
    (segment,) = segments(store)
    segment.unlink()
    shutil.rmtree(store.index_path)
    with pytest.raises(LogCorruptError, match="its folder is missing, and no segment holds it"):
        Store(store.path)


def test_an_epoch_that_is_archived_while_it_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        store.commit({"n": number})
    monkeypatch.setattr(gc, "EPOCH_RECORDS", 1)

    class Counting(Disk):
        archived = False

        def size(self, path: str) -> int:
            if path.endswith(".rec") and not self.archived:
                self.archived = True
                store.gc()
            return super().size(path)

    disk = Counting()
    counting = opened(store.path, disk)
    assert counting._repository.chunks.log.size() == store._repository.chunks.log.size()
    assert disk.archived
    assert not os.path.exists(store._repository.chunks.layout.epoch(store._repository.chunks.log.start.epoch))
    counting.close()


def test_archiving_without_gc_keeps_the_copy_of_the_lower_rank_in_use(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noise(seed: int, size: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)

    def near(array: np.ndarray, every: int) -> np.ndarray:
        return array + (np.arange(array.size) % every == 0).astype(np.uint8)

    shared, x, r = noise(1, 3_000), noise(2, 20_000), noise(3, 20_000)
    store.commit({"x": x, "m": near(shared, 91)}, branch="a")
    store.commit({"x": near(x, 91), "m": near(near(shared, 91), 89)}, branch="a")
    # One brings the chunk whole, the other, which is second, as a part of a record of rank 2.
    first, second = {"m": shared, "r": r}, {"x": near(near(x, 91), 89), "m": shared}
    with Store(store.path) as other:
        interrupted = opened(store.path, InterruptedDisk(lambda: other.commit(first, branch="b") and None), threads=1)
        interrupted.commit(second, branch="a")
        interrupted.close()
    top = {"m": near(shared, 83), "r": near(r, 83)}
    store.commit(top, branch="b")
    monkeypatch.setattr(archive, "EPOCH_RECORDS_WITHOUT_GC", 1)
    archive.archive_when_long(store._repository)
    assert len(packs(store)) == 1
    with Store(store.path) as other:
        assert other.verify(data=True).problems == []
        for ref, state in {"a": second, "b": top, "b~1": first}.items():
            loaded = other.load(ref)
            assert all(np.array_equal(loaded[name], value) for name, value in state.items())


@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize("call", ["sync_directory", "make_directory", "create", "sync", "link", "rename", "names"])
def test_a_disk_that_fails_while_archiving_does_not_take_back_a_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, sticky: bool
) -> None:
    """The commit is published by then: its caller must hear of it, and archiving is taken up by the next one."""
    committed(store, range(3))
    disk = FaultyDisk()
    other = opened(store.path, disk, threads=1)

    def failing(repository: Repository) -> None:
        fault = Fault(call, disk.calls[call] + 1, errno.EIO, sticky)
        disk.faults = (fault,)
        archive_when_long(repository)
        disk.faults = ()
        assert disk.calls[call] >= fault.nth, "it was struck"

    archive_when_long = archive.archive_when_long
    monkeypatch.setattr(archive, "EPOCH_RECORDS_WITHOUT_GC", 4)
    monkeypatch.setattr(archive, "archive_when_long", failing)
    assert other.commit(state(3), step=3).step == 3
    other.close()
    monkeypatch.setattr(archive, "archive_when_long", archive_when_long)
    committed(store, range(4, 9))
    assert is_whole(store, 9)
    assert os.listdir(os.path.join(store.path, "segments"))


def test_damage_that_archiving_meets_does_not_take_back_a_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    committed(store, range(3))
    chunks = store._repository.chunks
    damage(Path(chunks.layout.record(chunks.log.start.epoch, 2)), -20)
    monkeypatch.setattr(archive, "EPOCH_RECORDS_WITHOUT_GC", 4)
    with Store(store.path) as other:
        assert other.commit(state(3), step=3).step == 3
        assert [commit.step for commit in other.log()] == [3, 2, 1, 0]
    assert "the log could not be archived" in caplog.text


def test_a_segment_is_durable_before_another_process_removes_what_it_holds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who wrote it was killed when it had its name, and before that was durable."""
    committed(store, range(6))
    monkeypatch.setattr(gc, "EPOCH_RECORDS", 1)

    class Killed(Disk):
        def sync_directory(self, path: str) -> None:
            if path.endswith("segments") and os.listdir(path):
                raise KeyboardInterrupt
            super().sync_directory(path)

    class Telling(Disk):
        def __init__(self) -> None:
            self.told: list[str] = []

        def sync_directory(self, path: str) -> None:
            self.told.append(f"sync {os.path.basename(path)}")
            super().sync_directory(path)

        def rename(self, source: str, target: str) -> None:
            self.told.append(f"rename {os.path.basename(os.path.dirname(source))}")
            super().rename(source, target)

    killed = opened(store.path, Killed(), threads=1)
    with pytest.raises(KeyboardInterrupt):
        killed.gc()
    first = store._repository.chunks.log.start.epoch
    assert os.path.exists(store._repository.chunks.layout.epoch(first))
    disk = Telling()
    Log(disk, store._repository.chunks.layout, first).sweep()
    assert not os.path.exists(store._repository.chunks.layout.epoch(first))
    assert disk.told[:2] == ["sync segments", "rename log"]


def test_records_stand_where_they_are_until_their_folder_goes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process archives an epoch after a gc looked for such folders, and before it looks for litter."""
    committed(store, range(6))
    store.commit({"n": "garbage"}, branch="side")
    store.delete_branch("side")
    chunks = store._repository.chunks
    folder = Path(chunks.layout.epoch(chunks.log.start.epoch))

    class Killed(Disk):
        def rename(self, source: str, target: str) -> None:
            if source == str(folder):
                raise KeyboardInterrupt
            super().rename(source, target)

    class Collecting(Disk):
        swept = archived = False

        def names(self, path: str) -> list[str]:
            if path == chunks.layout.segments:
                self.swept = True
            if path == chunks.layout.packs and self.swept and not self.archived:
                self.archived = True
                monkeypatch.setattr(gc, "EPOCH_RECORDS", 1)
                with pytest.raises(KeyboardInterrupt):
                    opened(store.path, Killed(), threads=1).gc()
            return super().names(path)

    disk = Collecting()
    opened(store.path, disk, threads=1).gc()
    assert disk.archived
    assert min(path.name for path in folder.iterdir()) == f"{1:016d}.rec"
    with Store(store.path) as other:
        assert other.verify(data=True).problems == []
        other.gc()
        assert not folder.exists()
    assert is_whole(store, 6)
