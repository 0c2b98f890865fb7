"""A repair that is cut short anywhere, by a disk that refuses or by a crash, is taken up by the next one."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from crash_scenarios import ONE_THREAD, Life, large, lay_out, noise, opened, small, small_files
from crash_scenarios import check as survived
from disks import damage, log_file, packs
from faulty import CALLS, Fault, FaultyDisk
from recording import RecordingDisk, crashes
from test_crash_states import distinct, sampled

from deltackpt import Store
from deltackpt.errors import DeltackptError
from deltackpt.fs.disk import Disk
from deltackpt.maintenance.repair.repair import repair

CODES = (errno.EIO, errno.ENOSPC, errno.EROFS)
KEPT, LOST = noise(5, 36_000), noise(6, 38_000)


def pack_with_what_is_lost(store: Store) -> Path:
    return next(path for path in packs(store) if LOST.tobytes()[:64] in path.read_bytes())


def _a_record(store: Store) -> None:
    place = pack_with_what_is_lost(store)
    damage(place, place.read_bytes().index(LOST.tobytes()[:64]) + 500)


def _a_footer(store: Store) -> None:
    place = packs(store)[0]
    damage(place, place.stat().st_size - 4)


def _a_log_record(store: Store) -> None:
    # What it carries is sound: the damage is in its time.
    path = log_file(store, 2)
    damage(path, path.read_bytes().index(b"time_ns") + 12)


def _both(store: Store) -> None:
    _a_record(store)
    _a_log_record(store)


def _the_facts(store: Store) -> None:
    damage(os.path.join(store.path, "store.json"), 30)


DAMAGES: dict[str, Callable[[Store], None]] = {
    "a record": _a_record,
    "a footer": _a_footer,
    "a log record": _a_log_record,
    "a record and a log record": _both,
    "the facts": _the_facts,
}
LOSES = {"a record", "a record and a log record"}


@pytest.fixture(params=DAMAGES)
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """What is damaged, and a store in which it is."""
    path = str(tmp_path / "original")
    with small_files(), Store.init(path, options=ONE_THREAD, reserve=0) as store:
        store.commit({"kept": KEPT, "lost": LOST}, step=1)
        store.commit({"kept": KEPT}, step=2)
        store.commit({"kept": KEPT + 1}, step=3)
        DAMAGES[request.param](store)
    return request.param, path


def check(path: str, damage: str) -> None:
    """A repair without faults ends where one would have ended that was not cut short."""
    with small_files():
        repair(path, execute=True)
        second = repair(path)
    assert second.empty
    assert [a.tensors for p in second.losses for a in p.affects] == ([("lost",)] if damage in LOSES else [])
    with Store(path, options=ONE_THREAD) as store, small_files():
        assert (store.load("step:1", select="kept")["kept"] == KEPT).all()
        assert (store.load("step:2")["kept"] == KEPT).all()
        assert (store.load("step:3")["kept"] == KEPT + 1).all()
        assert all("declared lost" in problem.what for problem in store.verify(data=True).problems)
        store.commit({"kept": KEPT, "lost": LOST}, step=4)
        store.gc()
        assert store.verify(data=True).ok
        assert (store.load("step:1")["lost"] == LOST).all()


def _kept_bytes(path: str) -> set[bytes]:
    """Every file of a store but its index."""
    folders = (folder for folder in os.walk(path) if "/index" not in folder[0])
    return {Path(parent, name).read_bytes() for parent, _, names in folders for name in names}


def test_calls_that_fail(damaged: tuple[str, str], tmp_path: Path) -> None:
    damage, original = damaged
    copy = str(tmp_path / "copy")
    shutil.copytree(original, copy)
    disk = FaultyDisk()
    with small_files():
        repair(copy, execute=True, disk=disk)
    every = [(call, nth) for call in CALLS for nth in range(1, disk.calls[call] + 1)]
    faults = [Fault(call, nth, code, sticky) for call, nth in every for code in CODES for sticky in (False, True)]
    before = _kept_bytes(original)
    refused = 0
    for fault in faults[::17]:
        shutil.rmtree(copy)
        shutil.copytree(original, copy)
        error = _refusal(copy, fault)
        assert "\n" not in str(error), fault
        refused += error is not None
        assert before <= _kept_bytes(copy), f"{fault}: some bytes are nowhere any more"
        check(copy, damage)
    assert refused > len(faults) // 17 // 4


def _refusal(path: str, fault: Fault) -> DeltackptError | None:
    try:
        with small_files():
            repair(path, execute=True, disk=FaultyDisk(fault))
    except DeltackptError as error:
        return error
    return None


class KilledError(BaseException):
    """The process is gone."""


class DyingDisk(Disk):
    """The process ends at the ``nth`` call that changes anything."""

    def __init__(self, nth: int) -> None:
        self.left = nth

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KilledError

    def create(self, path: str) -> int:
        self._step()
        return super().create(path)

    def sync(self, fd: int, path: str) -> None:
        self._step()
        super().sync(fd, path)

    def rename(self, source: str, target: str) -> None:
        self._step()
        super().rename(source, target)

    def link(self, source: str, target: str) -> None:
        self._step()
        super().link(source, target)

    def unlink(self, path: str) -> None:
        self._step()
        super().unlink(path)


def test_a_death_at_every_call(damaged: tuple[str, str], tmp_path: Path) -> None:
    damage, original = damaged
    copy = str(tmp_path / "copy")
    for nth in range(200):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(original, copy)
        disk = DyingDisk(nth)
        with small_files(), suppress(KilledError):
            repair(copy, execute=True, disk=disk)
        check(copy, damage)
        if disk.left >= 0:
            assert nth > 5
            return
    raise AssertionError("a repair makes fewer calls than that")


@pytest.mark.parametrize("what", ["a pack", "a log record"])
def test_a_power_cut_at_every_moment(tmp_path: Path, what: str) -> None:
    recorder = RecordingDisk(str(tmp_path / "life" / "store"))
    (tmp_path / "life").mkdir()
    with small_files():
        life = Life(recorder)
        life.commit(large(1), step=1)
        life.commit(small(2), step=2)
        begun = len(recorder.steps)
        path = packs(life.store)[0] if what == "a pack" else log_file(life.store, 2)
        at = path.stat().st_size - 4 if what == "a pack" else path.read_bytes().index(b"time_ns") + 12
        recorder.rot(str(path), at)
        data = path.read_bytes()
        life.store.close()
        repair(recorder.root, execute=True, disk=recorder)
        recorder.acknowledge(life.known)
    assert len(recorder.steps) > begun + 10
    total, found = distinct(crashes(recorder.root, recorder.steps, 60, 2))
    tried = [crash for crash in found if data in crash.tree.values()]
    assert total > 1_000
    assert len(tried) > 30
    root = str(tmp_path / "crashed")
    for crash in sampled(tried, 60):
        lay_out(crash.tree, root)
        with small_files():
            assert repair(root, execute=True).ok
            survived(crash, root)
        kept = [place for place, held in crash.tree.items() if held == data]
        assert data in _kept_bytes(root), f"the damaged file, which stood at {kept}, is not kept"


def test_a_gc_between_two_halves_of_a_repair_removes_no_damaged_file(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    with small_files(), Store.init(path, options=ONE_THREAD, reserve=0) as store:
        store.commit({"kept": KEPT, "lost": LOST}, step=1)
        place = pack_with_what_is_lost(store)
        _a_record(store)
        disk = Stubborn()
        with pytest.raises(KilledError):
            repair(path, execute=True, disk=disk)
        assert place.exists()
        store.gc()
        assert place.exists()
        repair(path, execute=True)
        assert os.path.exists(os.path.join(path, "quarantine", place.name))


class Stubborn(Disk):
    """The process ends when a file is to be put aside."""

    def link(self, source: str, target: str) -> None:
        if "quarantine" in target:
            raise KilledError
        super().link(source, target)


def test_a_gc_goes_on_beside_a_repair(tmp_path: Path) -> None:
    """It takes garbage away, and moves what the repair is about to copy, just before the repair publishes."""
    path = str(tmp_path / "store")
    with small_files(), Store.init(path, options=ONE_THREAD, reserve=0) as store:
        store.commit({"kept": KEPT, "lost": LOST}, step=1)
        store.commit({"other": noise(8, 30_000), "garbage": noise(9, 30_000)}, branch="dev", step=1)
        store.commit({"other": noise(8, 30_000)}, step=2)
        _a_record(store)
        garbage = next(path for path in packs(store) if noise(9, 64).tobytes() in path.read_bytes())
        damage(garbage, garbage.read_bytes().index(noise(8, 64).tobytes()[:32]) + 200)

        class Collecting(Disk):
            done = False

            def link(self, source: str, target: str) -> None:
                if not self.done and target.endswith(".rec"):
                    self.done = True
                    store.delete_branch("dev")
                    with suppress(DeltackptError):
                        store.gc()
                super().link(source, target)

        repair(path, execute=True, disk=Collecting())
        repair(path, execute=True)
        assert (store.load("step:1", select="kept")["kept"] == KEPT).all()
        assert repair(path).empty
        assert all("declared lost" in problem.what for problem in store.verify(data=True).problems)
        store.commit({"other": noise(8, 30_000), "lost": LOST}, step=3)
        assert store.verify(data=True).ok


def test_a_writer_goes_on_beside_a_repair(tmp_path: Path) -> None:
    """At each record that a repair publishes, a commit comes first; and the other way round."""
    path = str(tmp_path / "store")
    with small_files(), Store.init(path, options=ONE_THREAD, reserve=0) as store:
        store.commit({"kept": KEPT, "lost": LOST}, step=1)
        _a_record(store)

        class Overtaking(Disk):
            steps = 2

            def link(self, source: str, target: str) -> None:
                if self.steps < 5:
                    self.steps += 1
                    store.commit({"kept": KEPT, "new": noise(self.steps, 9_000)}, step=self.steps)
                super().link(source, target)

        repair(path, execute=True, disk=Overtaking())
        for step in (3, 4, 5):
            assert (store.load(f"step:{step}")["kept"] == KEPT).all()
        assert [p.what for p in store.verify(data=True).problems] == ["1 chunk was declared lost by `deltackpt repair`"]

        class Mended(Disk):
            done = False

            def link(self, source: str, target: str) -> None:
                if not self.done:
                    self.done = True
                    damage(packs(store)[-1], packs(store)[-1].stat().st_size // 2)
                    repair(path, execute=True)
                super().link(source, target)

        with opened(path, Mended()) as writer:
            writer.commit({"kept": KEPT, "new": noise(3, 9_000)}, step=9)
        assert (store.load("step:9")["new"] == noise(3, 9_000)).all()
        assert (store.load("step:9")["kept"] == KEPT).all()
