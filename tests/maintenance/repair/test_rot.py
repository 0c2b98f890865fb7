"""Any byte of any file, and any length: a repair ends in a store that is whole but for what it names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from damaged import lost, noise
from disks import damage
from figures import note

from deltackpt import Store
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.maintenance import gc

SIZE = 3_000


def states() -> dict[int, dict[str, np.ndarray]]:
    """A tensor in a pack, one that changes a little, small ones in the log."""
    w = noise(1, SIZE)
    small = {step: noise(step, 500) for step in (1, 2, 3)}
    return {step: {"w": w + (np.arange(SIZE) % 97 < step), "v": v, "f": noise(9, SIZE)} for step, v in small.items()}


@pytest.fixture
def original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three commits: the first is archived and in packs, the last stands in the log."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (4_000,))
    with Store.init(tmp_path / "original", reserve=0) as store:
        for step in (1, 2):
            store.commit(states()[step], step=step)
        monkeypatch.setattr(gc, "EPOCH_RECORDS", 2)
        store.commit({"x": 1}, branch="dev", step=2)
        store.delete_branch("dev")
        store.gc()
        store.commit(states()[3], step=3)
    return tmp_path / "original"


def mended(path: Path) -> dict[int | None, set[str]]:
    """Mend the store and check what is left; returns what is lost."""
    plan = Store.repair(path, execute=True)
    assert Store.repair(path).empty
    losses = lost(plan)
    with Store(path) as store:
        assert all("declared lost" in problem.what for problem in store.verify(data=True).problems)
        known = {commit.step for commit in store.log("main")}
        for step in {1, 2, 3} - known:
            losses[step] = {"(commit)"}
        for step in (1, 2, 3):
            gone = losses.get(step, set())
            if any(name.startswith("(") for name in gone):
                continue
            reader = store.reader(f"step:{step}")
            for name, value in states()[step].items():
                if name not in gone:
                    assert reader.tensor(name).numpy().tobytes() == value.tobytes()
    return losses


def spots(folder: Path, every: int) -> list[tuple[str, int]]:
    """Places in all files of a store but its index: each ``every``-th byte of the whole."""
    found = []
    for parent, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.join(parent, name)
            if "/index" not in path:
                found += [(os.path.relpath(path, folder), at) for at in range(os.path.getsize(path))]
    return found[::every]


@pytest.mark.parametrize("with_index", [True, False])
def test_any_byte(original: Path, tmp_path: Path, with_index: bool) -> None:
    found = spots(original, 151 if with_index else 211)
    assert len(found) > 50
    assert 0 < damage_each(original, tmp_path / "copy", found, with_index=with_index) < len(found)


@pytest.mark.campaign
@pytest.mark.parametrize("with_index", [True, False])
def test_every_other_byte(original: Path, tmp_path: Path, with_index: bool) -> None:
    found = spots(original, 2)
    costly = damage_each(original, tmp_path / "copy", found, with_index=with_index)
    note(f"repair: {len(found)} damaged bytes, {costly} of them cost something")


def damage_each(original: Path, copy: Path, found: list[tuple[str, int]], *, with_index: bool) -> int:
    """Damage a byte at each place in turn, and mend that; returns how many of them cost a tensor or a commit."""
    costly = 0
    for file, at in found:
        shutil.copytree(original, copy)
        damage(copy / file, at)
        if not with_index:
            shutil.rmtree(copy / "index")
        try:
            losses = mended(copy)
        except AssertionError as error:
            raise AssertionError(f"{file} at {at}") from error
        assert not with_index or {"(commit)"} not in losses.values(), f"{file} at {at}"
        costly += bool(losses)
        shutil.rmtree(copy)
    return costly


def test_any_length(original: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for file, at in spots(original, 307):
        shutil.copytree(original, copy)
        os.truncate(copy / file, at)
        try:
            mended(copy)
        except AssertionError as error:
            raise AssertionError(f"{file} cut at {at}") from error
        shutil.rmtree(copy)
