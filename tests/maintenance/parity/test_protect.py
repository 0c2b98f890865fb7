"""Packs that are damaged come back from their parity, byte by byte; more damage than that is as without."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from disks import BadSector, damage, files, opened, packs

from deltackpt import Store
from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import CorruptError, StorageError
from deltackpt.fs.disk import Disk
from deltackpt.fs.lock import hold
from deltackpt.history.deletion import delete
from deltackpt.ids import PackId
from deltackpt.maintenance.budget import occupied_bytes
from deltackpt.maintenance.parity.code import Code
from deltackpt.maintenance.parity.file import ParityFile, Stripes
from deltackpt.maintenance.parity.restore import plan_restorations
from deltackpt.maintenance.parity.shelf import parity_files, read_parity
from deltackpt.maintenance.repair.repair import repair

W = {step: np.random.default_rng(step).integers(0, 256, 900_000, dtype=np.uint8) for step in (1, 2)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of two packs, each with parity."""
    with Store.init(tmp_path / "s", reserve=0) as store:
        for step in (1, 2):
            store.commit({"w": W[step]}, step=step)
        report = store.protect(0.05)
        assert (report.packs, report.kept, report.removed) == (2, 0, 0)
        assert 0.05 < report.nbytes / sum(pack.stat().st_size for pack in packs(store)) < 0.057
        assert store.protect(0.05).kept == 2
    return tmp_path / "s"


def first_pack(path: Path) -> Path:
    return sorted(path.glob("packs/*/*.pack"))[0]


def is_whole(path: Path) -> bool:
    with Store(path) as store:
        return store.verify(data=True).ok and all(
            np.array_equal(store.load(f"step:{step}")["w"], W[step]) for step in (1, 2)
        )


def overwrite(path: Path, start: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(length))


@pytest.mark.parametrize("length", [1, 512, 4_096, 40_000])
def test_damage_anywhere(path: Path, length: int) -> None:
    pack = first_pack(path)
    sound = pack.read_bytes()
    for start in range(0, len(sound) - length, 97_001):
        overwrite(pack, start, length)
        damaged = pack.read_bytes()
        plan = Store.repair(path)
        assert not plan.complete
        assert "blocks are damaged" in plan.mends[0].what
        assert pack.read_bytes() == damaged
        assert Store.repair(path, execute=True).ok
        assert pack.read_bytes() == sound
        assert damaged in files(path / "quarantine").values()
    assert Store.repair(path).empty
    assert is_whole(path)


def test_a_pack_that_was_cut_short_or_has_grown(path: Path) -> None:
    pack = first_pack(path)
    sound = pack.read_bytes()
    for other in (sound[:-9_000], sound + b"more"):
        pack.write_bytes(other)
        assert Store.repair(path, execute=True).ok
        assert pack.read_bytes() == sound
    assert is_whole(path)


def test_more_damage_than_parity(path: Path) -> None:
    """What is sound is kept, and what is lost is named, as in a store without parity."""
    pack = first_pack(path)
    overwrite(pack, 100_000, 200_000)
    plan = Store.repair(path, execute=True)
    assert {name for loss in plan.losses for one in loss.affects for name in one.tensors} == {"w"}
    assert Store.repair(path).empty
    with Store(path) as store:
        store.gc()
    assert len(parity_files_of(path)) == 1, "that of the pack in quarantine is of no use"


def test_blocks_that_cannot_be_read(path: Path) -> None:
    """A bad sector ends a repair that has nothing else; parity takes its place."""
    sound = first_pack(path).read_bytes()
    disk = BadSector(first_pack(path), 120_000)
    assert repair(str(path), execute=True, disk=disk).ok
    assert first_pack(path).read_bytes() == sound
    assert is_whole(path)


def test_parity_of_a_damaged_pack_is_refused(path: Path) -> None:
    for _, file in list(parity_files_of(path)):
        os.unlink(file)
    damage(first_pack(path))
    with Store(path) as store, pytest.raises(CorruptError, match="checksum"):
        store.protect()


def parity_files_of(path: Path) -> list[tuple[object, str]]:
    with Store(path) as store:
        return list(parity_files(store._repository.chunks.disk, store._repository.chunks.layout))


def test_another_share_takes_its_place(path: Path) -> None:
    with Store(path) as store:
        report = store.protect(0.25)
        assert report.packs == 2
        assert store.protect(0.25).packs == 0


def test_parity_goes_with_its_pack(path: Path) -> None:
    with Store(path) as store:
        before = set(packs(store))
        store.commit({"x": 1}, step=3)
        delete(store._repository, [store.resolve(f"step:{step}") for step in (1, 2)])
        store.gc()
        assert before.isdisjoint(packs(store))
    assert parity_files_of(path) == []


class Meanwhile(Disk):
    """Does something once, just before a file gets its name in the folder called ``folder``."""

    def __init__(self, folder: str, action: Callable[[], object]) -> None:
        self._folder = folder
        self._action: Callable[[], object] | None = action

    def rename(self, source: str, target: str) -> None:
        if f"/{self._folder}/" in target and self._action is not None:
            action, self._action = self._action, None
            action()
        super().rename(source, target)


def parity_of(path: Path, pack: Path) -> ParityFile:
    return read_parity(Disk(), Layout(str(path)), PackId.from_hex(pack.stem))


def put_parity(path: Path, parity: ParityFile) -> None:
    Path(Layout(str(path)).parity(parity.pack)).write_bytes(parity.encode())


def without_parity(path: Path) -> None:
    for _, file in parity_files_of(path):
        os.unlink(file)


def test_two_at_once(path: Path) -> None:
    """Each writes a file of its own, and either of them will do."""
    without_parity(path)
    with Store(path) as other, opened(str(path), Meanwhile("parity", lambda: other.protect(0.05))) as store:
        report = store.protect(0.05)
        assert (report.packs, report.kept) == (1, 1), "the second pack was done before its turn came"
    assert sum(len(names) for _, _, names in os.walk(path / "parity")) == 2
    overwrite(first_pack(path), 50_000, 4_096)
    assert Store.repair(path, execute=True).ok
    assert is_whole(path)


def test_what_another_protects_meanwhile_stays(path: Path) -> None:
    """A pack that was published after the first look at the store is no pack that is gone."""
    without_parity(path)
    with Store(path) as other:

        def commit() -> None:
            other.commit({"w": W[1][::-1].copy()}, step=3)
            assert other.protect(0.05).packs == 3

        with opened(str(path), Meanwhile("parity", commit)) as store:
            assert store.protect(0.05).removed == 0
    assert len(parity_files_of(path)) == 3


def test_a_gc_beside(path: Path) -> None:
    """A parity file that is being written is none that a crash left behind."""
    without_parity(path)
    with Store(path) as other, opened(str(path), Meanwhile("parity", other.gc)) as store:
        assert store.protect(0.05).packs == 2


@pytest.mark.parametrize("pattern", ["parity/*/*.par", "packs/*/*.pack"])
def test_what_a_crash_left_behind_goes_with_the_next_gc(path: Path, pattern: str) -> None:
    (beside, *_) = path.glob(pattern)
    left = beside.with_name(f"{beside.name}.0123456789abcdef.new")
    left.write_bytes(bytes(7_000))
    with Store(path) as store:
        with left.open("rb") as file:
            hold(file.fileno())
            assert store.gc(dry_run=True).empty
        assert store.gc().freed_bytes == 7_000
    assert not left.exists()
    assert is_whole(path)


def test_what_a_gc_frees_counts_parity(path: Path) -> None:
    with Store(path) as store:
        delete(store._repository, [store.resolve("step:1")])
        before = sum(map(len, files(path / "packs").values())) + sum(map(len, files(path / "parity").values()))
        told = store.gc(dry_run=True).freed_bytes
        assert store.gc().freed_bytes == told
        after = sum(map(len, files(path / "packs").values())) + sum(map(len, files(path / "parity").values()))
    assert before - after == told


def test_the_size_of_a_store_counts_parity(path: Path) -> None:
    """So what a budget says is left, less what a gc frees of it, is never too little."""
    size = sum(len(data) for folder in ("packs", "parity", "log") for data in files(path / folder).values())
    with Store(path) as store:
        assert occupied_bytes(store._repository.chunks) == size
        assert store.stats().disk_bytes == size


def test_damaged_parity_is_written_again(path: Path) -> None:
    (_, file), *_ = parity_files_of(path)
    sound = Path(file).read_bytes()
    damage(file, len(sound) - 10)
    with Store(path) as store:
        assert (store.protect(0.05).packs, store.protect(0.05).packs) == (1, 0)
    assert Path(file).read_bytes() == sound


def test_parity_that_cannot_be_read(path: Path) -> None:
    """Its other blocks still count, and it is written again; one without a legible head is named."""
    pack = first_pack(path)
    sound, file = pack.read_bytes(), Path(Layout(str(path)).parity(PackId.from_hex(pack.stem)))
    size = file.stat().st_size
    overwrite(pack, 0, 1)
    assert repair(str(path), execute=True, disk=BadSector(file, size - 1)).ok
    assert pack.read_bytes() == sound
    with pytest.raises(StorageError, match="or remove that file"):
        repair(str(path), disk=BadSector(file, 50))
    for at in (50, size - 1):
        with opened(str(path), BadSector(file, at)) as store:
            assert store.protect(0.05).packs == 1
        assert parity_of(path, pack).is_whole


def test_stripes_that_can_be_restored_are(path: Path) -> None:
    """Of two in which blocks are damaged one is so beyond its parity; the records of the other come back."""
    pack = first_pack(path)
    sound, cut = pack.read_bytes(), parity_of(path, pack).stripes
    beyond, little = cut.blocks(0)[:2], cut.blocks(cut.stripes // 2)[5]
    for number in (*beyond, little):
        overwrite(pack, number * cut.block, 100)
    damaged = pack.read_bytes()
    (mend, *_) = Store.repair(path).mends
    assert mend.what.endswith(f"3 of {cut.count} blocks are damaged")
    assert mend.remedy == "1 of them restored from its parity"
    with Store(path) as store:
        (restoration,) = plan_restorations(store._repository.chunks)
        restoration.execute()
    restored = pack.read_bytes()
    assert restored[little * cut.block :] == sound[little * cut.block :]
    assert restored[: little * cut.block] == damaged[: little * cut.block]
    with Store(path) as store:
        assert list(plan_restorations(store._repository.chunks)) == [], "nor is it tried for ever"
    Store.repair(path, execute=True)
    assert Store.repair(path).empty
    assert damaged in files(path / "quarantine").values()


def test_the_last_byte_is_missing(path: Path) -> None:
    """It is a zero, so no block tells."""
    pack = first_pack(path)
    sound = pack.read_bytes()
    pack.write_bytes(sound[:-1])
    assert "1 of" in Store.repair(path, execute=True).mends[0].what
    assert pack.read_bytes() == sound


def test_parity_of_other_bytes_costs_no_record(path: Path) -> None:
    """It is whole and of the right name, and yet a lie."""
    pack = first_pack(path)
    sound = pack.read_bytes()
    for lie in (sound[: len(sound) // 2], bytes(len(sound)), sound + b"more"):
        put_parity(path, ParityFile.of(PackId.from_hex(pack.stem), lie, Code(1, 1)))
        assert Store.repair(path, execute=True).empty
        assert pack.read_bytes() == sound
    assert is_whole(path)


def test_two_repairs_and_a_gc_at_once(path: Path) -> None:
    """Whoever comes later finds nothing to be done."""
    pack = first_pack(path)
    sound = pack.read_bytes()
    overwrite(pack, 50_000, 4_096)
    damaged = pack.read_bytes()
    with Store(path) as store:
        first, second = (next(plan_restorations(store._repository.chunks)) for _ in range(2))
        first.execute()
        second.execute()
        assert pack.read_bytes() == sound
        assert list(files(path / "quarantine").values()) == [damaged]
        overwrite(pack, 50_000, 4_096)
        third = next(plan_restorations(store._repository.chunks))
        os.unlink(pack)
        third.execute()
        assert not pack.exists()


@pytest.mark.parametrize(
    ("size", "block", "code"),
    [(1 << 60, 65_536, (20, 1)), (1_000, 100, (2, 1)), (1_000, 0, (2, 1)), (0, 64, (2, 1)), (64, 1 << 31, (31, 1))],
)
def test_a_head_that_cannot_be(path: Path, size: int, block: int, code: tuple[int, int]) -> None:
    """Nothing is allocated for what it says, and the pack is as one without parity."""
    pack = first_pack(path)
    parity = ParityFile(PackId.from_hex(pack.stem), Stripes(size, block, Code(*code)), np.zeros(0, np.uint64), b"")
    put_parity(path, parity)
    assert len(parity.encode()) == struct.calcsize("<8s16sQIHHQ")
    assert Store.repair(path).empty
    with pytest.raises(CorruptError, match="the head is damaged"):
        parity_of(path, pack)
    with Store(path) as store:
        assert store.protect(0.05).packs == 1
