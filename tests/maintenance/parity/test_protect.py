"""Packs that are damaged come back from their parity, byte by byte; more damage than that is as without."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from disks import BadSector, damage, files, packs

from deltackpt import Store
from deltackpt.errors import CorruptError
from deltackpt.history.deletion import delete
from deltackpt.maintenance.parity.shelf import parity_files
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
