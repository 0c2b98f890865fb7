"""Damaged log records: what the index and the records around them still know takes their place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from damaged import STEPS, again, build, check_mended, loads, lost, rows, state
from disks import damage, log_file

from deltackpt import NotFoundError, Store
from deltackpt.chunkstore.location import Location, inline_record
from deltackpt.chunkstore.log_record import ENVELOPE_SIZE, MAGIC
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.fs.disk import Disk
from deltackpt.history.deletion import delete
from deltackpt.ids import ChunkId
from deltackpt.maintenance import gc
from deltackpt.maintenance.repair.repair import repair


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything over 2 KB goes to packs."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (2_000,))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Store]:
    with build(tmp_path / "store") as store:
        yield store


def small(step: int) -> dict[str, object]:
    """A state that travels in a log record."""
    return {"n": step, "b": state(step)["model"]["b1"]}  # type: ignore[index]


@pytest.fixture
def inline(tmp_path: Path) -> Iterator[Store]:
    """Three commits, all in the log."""
    with Store.init(tmp_path / "inline") as store:
        for step in (1, 2, 3):
            store.commit(small(step), step=step)
        yield store


def without_index(store: Store) -> None:
    shutil.rmtree(store.index_path)


def in_body(path: Path) -> int:
    """A byte in the time of a record: whatever it is, the rest still makes sense."""
    return path.read_bytes().index(b"time_ns") + 12


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("how", ["a bit", "all", "missing"])
def test_the_index_knows_what_a_record_said(run: Store, number: int, how: str) -> None:
    before = rows(run)
    path = log_file(run, number)
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "all":
        path.write_bytes(b"\0" * 300)
    else:
        damage(path)
    plan = Store.repair(run.path)
    assert not plan.complete
    assert f"log record {number}" in plan.mends[0].what
    plan = Store.repair(run.path, execute=True)
    assert plan.ok
    with Store(run.path) as store:
        assert rows(store) == before
    if how == "a bit":
        [kept] = Path(run.path, "quarantine").glob(f"{number:016d}-*.rec")
        damage(kept)
        assert kept.read_bytes() == data
    check_mended(run.path, {})


def test_inline_bytes_that_are_sound_are_kept(inline: Store) -> None:
    damage(log_file(inline, 2), in_body(log_file(inline, 2)))
    assert Store.repair(inline.path, execute=True).ok
    with again(inline.path) as store:
        for step in (1, 2, 3):
            assert store.load(f"step:{step}")["n"] == step
        assert store.verify(data=True).ok


def test_a_store_that_is_open_reads_on_from_what_took_the_place_of_a_damaged_record(inline: Store) -> None:
    with Store(inline.path) as other:
        # It has the file open from here on, and another part of the state at hand.
        other._repository.reader.record_length(*next(_within(other, 2)))
        damage(log_file(inline, 2), in_body(log_file(inline, 2)))
        assert Store.repair(inline.path, execute=True).ok
        assert other.load("step:2")["n"] == 2
        assert np.array_equal(other.load("step:2")["b"], small(2)["b"])


@pytest.mark.parametrize("length", [4, 60_000], ids=["shorter", "longer"])
def test_a_bundle_that_is_remembered_of_the_record_before_is_forgotten(inline: Store, length: int) -> None:
    """A repair may put another record where one lay, and the file that was open may have been closed since."""
    with Store(inline.path) as other:
        reader = other._repository.reader
        for _, place in _within(other, 2):
            reader._bundles.put((place.pack, place.offset), memoryview(bytes(length)))
        reader.close()
        assert np.array_equal(other.load("step:2")["b"], small(2)["b"])


def test_commits_that_the_damaged_record_dropped_are_no_loss(inline: Store) -> None:
    inline.commit(small(9), branch="side", parent=None)
    inline.delete_branch("side")
    inline.gc()
    damaged = inline._repository.chunks.look_now(lambda view: view.applied)
    damage(log_file(inline, damaged), in_body(log_file(inline, damaged)))
    plan = Store.repair(inline.path, execute=True)
    assert plan.ok
    assert Store.repair(inline.path).empty
    with again(inline.path) as store:
        assert [commit.step for commit in store.log()] == [3, 2, 1]
        without_index(store)
    with again(inline.path) as store:
        assert [commit.step for commit in store.log()] == [3, 2, 1]
        assert store.verify(data=True).ok


def _within(store: Store, number: int) -> Iterator[tuple[ChunkId, Location]]:
    """Chunks that travel in that log record."""
    for chunk, place in store._repository.chunks.look(lambda view: list(view.chunks())):
        inline = inline_record(place.pack)
        if inline is not None and inline.number == number:
            yield chunk, place


def test_a_record_whose_body_is_legible_needs_no_index(inline: Store) -> None:
    for number in (2, 3):
        damage(log_file(inline, number), in_body(log_file(inline, number)))
    without_index(inline)
    assert Store.repair(inline.path, execute=True).ok
    with again(inline.path) as store:
        assert [commit.step for commit in store.log()] == [3, 2, 1]
        assert store.load("main")["n"] == 3
        assert store.verify(data=True).ok


@pytest.mark.parametrize("at", range(len(MAGIC)))
def test_a_record_whose_magic_is_damaged_says_what_it_said(run: Store, at: int) -> None:
    """Its checksum proves the rest, so nothing has to be guessed: tags and deletions, too, that nothing else knows."""
    run.tag("second", "step:2")
    delete(run._repository, [run.resolve("step:1")])
    before, records = rows(run), sorted(Path(run.path, "log").glob("*/*.rec"))
    sound = [path.read_bytes() for path in records]
    for path in records:
        damage(path, at)
    without_index(run)
    assert "nothing but its first bytes" in Store.repair(run.path).mends[0].remedy
    assert Store.repair(run.path, execute=True).ok
    assert [path.read_bytes() for path in records] == sound
    with again(run.path) as store:
        assert rows(store) == before
    assert Store.repair(run.path).empty


@pytest.mark.parametrize("other", [1, 3])
def test_a_record_in_the_place_of_another(inline: Store, other: int) -> None:
    """What it says of its own number is said once."""
    shutil.copyfile(log_file(inline, other), log_file(inline, 2))
    without_index(inline)
    Store.repair(inline.path, execute=True)
    with again(inline.path) as store:
        assert sorted(commit.step or 0 for commit in store._repository.look(lambda h: list(h.everything()))) == [1, 3]
        with pytest.raises(NotFoundError, match="no branch, tag or commit"):
            store.resolve("nothing")
        assert store.verify(data=True).ok
    assert Store.repair(inline.path).empty


def test_without_an_index_a_lost_commit_is_named(run: Store) -> None:
    lost_commit = run.resolve("step:2")
    path = log_file(run, 2)
    path.write_bytes(path.read_bytes()[: ENVELOPE_SIZE + 20])
    without_index(run)
    plan = Store.repair(run.path, execute=True)
    assert [a.commit for problem in plan.losses for a in problem.affects] == [lost_commit.id]
    with Store(run.path) as store:
        # Its pack was found, so what later commits share with it is there.
        assert [commit.step for commit in store.log("main")] == [4, 3]
        [cut_off] = [name for name in store.branches() if name.startswith("recovered/")]
        assert [commit.step for commit in store.log(cut_off)] == [1]
        for step in (3, 4):
            loads(store, step)
        assert store.verify(data=True).ok
        store.commit(state(9), step=9)
        store.gc()
        for step in (3, 4):
            loads(store, step)
        assert store.load(cut_off)["n"] == 1
    assert Store.repair(run.path).empty


def test_without_an_index_refs_fall_back(run: Store) -> None:
    run.delete_tag("kept")
    for number in (4, 5, 6):
        log_file(run, number).write_bytes(b"")
    without_index(run)
    Store.repair(run.path, execute=True)
    with Store(run.path) as store:
        assert store.resolve("main").step == 3
        with pytest.raises(NotFoundError):
            store.resolve("kept")
        store.commit(state(4), step=4)
        for step in STEPS:
            loads(store, step)


def test_a_ref_whose_commit_is_lost_is_taken_back_and_named(run: Store) -> None:
    run.tag("second", "step:4")
    path = log_file(run, 4)
    path.write_bytes(b"")
    without_index(run)
    plan = Store.repair(run.path, execute=True)
    told = [mend.what + ": " + mend.remedy for mend in plan.mends]
    assert any("'second'" in line and "removed" in line for line in told), told
    with Store(run.path) as store:
        assert store.resolve("main").step == 3
        assert store.tags() == {}
        store.gc()
        assert store.verify(data=True).ok


def test_the_last_records_are_missing(run: Store) -> None:
    before = rows(run)
    for number in (4, 5):
        log_file(run, number).unlink()
    assert Store.repair(run.path, execute=True).ok
    with Store(run.path) as store:
        assert rows(store) == before
    check_mended(run.path, {})


@pytest.fixture
def archived(monkeypatch: pytest.MonkeyPatch, run: Store) -> Store:
    """The log of the run in a segment, and a few records after it."""
    monkeypatch.setattr(gc, "EPOCH_RECORDS", 4)
    run.commit(state(7), branch="dev", step=7)
    run.delete_branch("dev")
    run.gc()
    assert len(list(Path(run.path, "segments").glob("*.seg"))) == 1
    return run


@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_a_damaged_segment(archived: Store, share: float) -> None:
    before = rows(archived)
    [path] = Path(archived.path, "segments").glob("*.seg")
    damage(path, int(path.stat().st_size * share))
    assert not Store.repair(archived.path).complete
    assert Store.repair(archived.path, execute=True).ok
    with Store(archived.path) as store:
        assert rows(store) == before
    assert [kept.name for kept in Path(archived.path, "quarantine").iterdir()] == [path.name]
    check_mended(archived.path, {})


@pytest.mark.parametrize("known", [True, False], ids=["with its index", "without an index"])
def test_two_damaged_segments(archived: Store, known: bool) -> None:
    """Both are mended at once. Without an index the commits of the damaged records are lost, and named."""
    for step in (11, 12, 13):
        archived.commit(small(step), step=step)
    archived.gc()
    segments = sorted(Path(archived.path, "segments").glob("*.seg"))
    assert len(segments) == 2
    before = rows(archived)
    doomed = [archived.resolve("step:2").id, archived.resolve("step:12").id]
    kept_commits = {step: archived.resolve(f"step:{step}").id for step in (1, 3, 4, 11, 13)}
    for path, commit in zip(segments, doomed, strict=True):
        # A commit's bytes stand in the record that brought it; those after it name it as a parent or a ref.
        row = archived._repository.chunks.look(lambda view, commit=commit: view.commit(commit))
        assert row is not None
        damage(path, path.read_bytes().index(row.data) + 5)
    if not known:
        without_index(archived)
    plan = Store.repair(archived.path, execute=True)
    assert sum("of the log is damaged" in mend.what for mend in plan.mends) == 2
    named = {affected.commit for problem in plan.losses for affected in problem.affects}
    assert named == (set() if known else set(doomed))
    with Store(archived.path) as store:
        mended = rows(store)
        assert not known or mended == before
        assert store.verify(data=True).ok
        for step, commit in kept_commits.items():
            assert store.load(str(commit))["n"] == step, "by its id: lines end where a commit is lost"
    kept = sorted(path.name for path in Path(archived.path, "quarantine").iterdir())
    assert kept == [path.name for path in segments]
    assert Store.repair(archived.path, execute=True).empty, "twice is once"
    with again(archived.path) as store:
        assert rows(store) == mended


class Busy(Disk):
    """Does something at each of the first reads of a log record."""

    def __init__(self, action: Callable[[], object], times: int) -> None:
        self._action, self._left = action, times

    def read(self, path: str, limit: int) -> bytes:
        if path.endswith(".rec") and self._left:
            self._left -= 1
            self._action()
        return super().read(path, limit)


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("archives", [False, True])
def test_others_publish_and_archive_meanwhile(
    run: Store, monkeypatch: pytest.MonkeyPatch, damaged: bool, archives: bool
) -> None:
    """What was published since the repair began to look is not missing, nor is what moved to a segment."""
    monkeypatch.setattr(gc, "EPOCH_RECORDS", 4 if archives else 1000)
    if damaged:
        damage(log_file(run, 2), in_body(log_file(run, 2)))
    steps = iter(range(100, 200))

    def meanwhile() -> None:
        run.commit(small(next(steps)), branch="busy")
        if archives and not damaged:
            run.gc()

    plan = repair(run.path, execute=True, disk=Busy(meanwhile, 12))
    assert [mend.what for mend in plan.mends if "log record 2 " not in mend.what] == []
    assert len(plan.mends) == damaged
    with again(run.path) as store:
        assert len(list(store.log("busy"))) == 12
        assert store.load("busy")["n"] == 111
        assert store.verify(data=True).ok
    assert Store.repair(run.path).empty


@pytest.mark.parametrize("at", [0, len(MAGIC) - 1])
def test_a_segment_in_which_a_magic_is_damaged(archived: Store, at: int) -> None:
    [path] = Path(archived.path, "segments").glob("*.seg")
    sound = path.read_bytes()
    second = sound.index(MAGIC, 1)
    damage(path, second + at)
    without_index(archived)
    assert Store.repair(archived.path, execute=True).ok
    assert path.read_bytes() == sound
    check_mended(archived.path, {})


def test_a_log_and_a_pack_at_once(run: Store) -> None:
    damage(log_file(run, 3))
    path = next(Path(run.path, "packs").glob("*/*.pack"))
    damage(path, path.stat().st_size - 3)
    assert Store.repair(run.path, execute=True).ok
    assert lost(Store.repair(run.path)) == {}
    check_mended(run.path, {})
