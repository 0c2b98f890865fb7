"""A disk that is really full: nothing published, nothing lost, and room comes back."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from crash_scenarios import ONE_THREAD, noise, refs_of, small

from deltackpt import Keep, Store
from deltackpt.fs.disk import DiskFullError, ReadOnlyError

MIB = 1 << 20


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own in ``folder``."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    with mounted(tmp_path / "disk", "size=8m") as folder:
        yield folder


@pytest.fixture
def few_names(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB for at most 60 files and folders."""
    with mounted(tmp_path / "disk", "size=64m,nr_inodes=60") as folder:
        yield folder


def free_bytes(folder: Path) -> int:
    return os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize


def fill(folder: Path, leave: int) -> Path:
    """A file that takes all room but ``leave`` bytes."""
    ballast = folder / "ballast"
    free = free_bytes(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - leave)
    return ballast


def use_up_names(folder: Path) -> None:
    """Empty files until there can be no more of them."""
    others = folder / "others"
    others.mkdir()
    with suppress(OSError):
        for number in range(1000):
            (others / str(number)).touch()
    assert os.statvfs(folder).f_ffree == 0


def files_of(store: Store) -> set[str]:
    return {os.path.join(parent, name) for parent, _, names in os.walk(store.path) for name in names}


def test_a_commit_that_does_not_fit(mount: Path) -> None:
    with Store.init(mount / "s", options=ONE_THREAD) as store:
        kept = store.commit({"w": noise(1, MIB)}, step=1)
        before, refs = files_of(store), refs_of(store)
        with pytest.raises(DiskFullError, match="nothing was published"):
            store.commit({"w": noise(2, 12 * MIB)}, step=2)
        assert refs_of(store) == refs
        assert files_of(store) == before, "what did not fit is gone again"
        assert (store.load(kept)["w"] == noise(1, MIB)).all()
        again = store.commit({"w": noise(3, MIB)}, step=2)
        assert again.parents == (kept.id,)
        assert store.verify(data=True).ok


@pytest.mark.parametrize("leave", [0, 4096, 16 << 10, 64 << 10, 256 << 10, 700 << 10])
def test_commits_until_nothing_fits(mount: Path, leave: int) -> None:
    with Store.init(mount / "s", options=ONE_THREAD) as store:
        made = [store.commit({"w": noise(0, MIB)}, step=0)]
        ballast = fill(mount, leave)
        steps = iter(range(1, 100))
        with pytest.raises(DiskFullError):
            made.extend(store.commit({"w": noise(step, 300_000)}, step=step) for step in steps)
        assert [commit.id for commit in store.log("main")][-len(made) :] == [commit.id for commit in made][::-1]
        assert all(
            (store.load(commit)["w"] == noise(commit.step, len(store.load(commit)["w"]))).all() for commit in made
        )
        ballast.unlink()
        store.commit({"w": noise(999, 300_000)}, step=999)
        assert store.verify(data=True).ok


def test_gc_frees_room_on_a_full_disk(mount: Path) -> None:
    with Store.init(mount / "s", options=ONE_THREAD) as store:
        kept = store.commit({"w": noise(1, MIB)})
        store.commit({"w": noise(2, 3 * MIB)}, branch="dev")
        store.delete_branch("dev")
        fill(mount, 0)
        assert store.gc().freed_bytes > 3 * MIB
        assert (store.load(kept)["w"] == noise(1, MIB)).all()
        store.commit({"w": noise(4, 2 * MIB)})
        assert store.verify(data=True).ok


def test_what_goes_without_copies_makes_room_for_them(mount: Path) -> None:
    """One gc frees all that it said: first packs of nothing but garbage, then those in which something lives."""
    with Store.init(mount / "s", options=ONE_THREAD) as store:
        kept = {"w": noise(1, MIB)}
        store.commit({**kept, "junk": noise(2, MIB)}, branch="mixed")
        store.commit(kept)
        store.commit({"w": noise(3, 2 * MIB)}, branch="dev")
        store.delete_branch("mixed")
        store.delete_branch("dev")
        promised = store.gc(dry_run=True)
        fill(mount, 0)
        done = store.gc()
        assert done.freed_bytes == promised.freed_bytes > 3 * MIB
        assert (set(done.condemned), done.copied) == (set(promised.condemned), promised.copied)
        assert done.copied
        assert store.gc(dry_run=True).empty
        assert (store.load("main")["w"] == kept["w"]).all()
        assert store.verify(data=True).ok


def run_of(folder: Path) -> Store:
    """Six commits of 600 kB, the third one tagged, another on a branch, and one that is deleted."""
    store = Store.init(folder / "s", options=ONE_THREAD)
    for step in range(6):
        store.commit({"model": noise(step, 300_000), "optimizer": {"m": noise(50 + step, 300_000)}}, step=step)
    store.tag("third", "step:2")
    store.commit(small(1), branch="dev", parent="step:0")
    store.delete("step:1")
    return store


DELETIONS: dict[str, Callable[[Store], object]] = {
    "delete": lambda store: store.delete("step:3"),
    "undelete": lambda store: store.undelete(next(store.oplog()).record.deleted[0].commit.hex()),
    "prune": lambda store: store.prune(Keep(last=1, optimizer=1)),
    "undo": lambda store: store.undo(),
    "branch -d": lambda store: store.delete_branch("dev"),
    "tag -d": lambda store: store.delete_tag("third"),
    "gc": lambda store: store.gc(),
}


@pytest.mark.parametrize("deletion", DELETIONS)
def test_deleting_works_without_a_byte_to_spare(mount: Path, deletion: str) -> None:
    with run_of(mount) as store:
        fill(mount, 0)
        assert free_bytes(mount) == 0
        before = refs_of(store)
        DELETIONS[deletion](store)
        assert next(store.oplog()).operation in ("delete", "undelete", "undo 9", "ref", "gc")
        assert (refs_of(store) == before) == (deletion not in ("branch -d", "tag -d"))
        assert free_bytes(mount) < 4096 or deletion == "gc", "the reserve is set aside again"
        assert store.gc().freed_bytes >= 0
        assert store.verify(data=True).ok


def test_prune_and_gc_bring_a_full_disk_back_to_life(mount: Path) -> None:
    with run_of(mount) as store:
        fill(mount, 0)
        plan = store.prune(Keep(last=1))
        assert store.gc().freed_bytes == plan.freed_bytes > 1_700_000
        store.commit({"model": noise(99, 300_000), "optimizer": {"m": noise(98, 300_000)}}, step=6)
        assert [commit.step for commit in store.log("main")] == [6, 5, 2]
        assert store.verify(data=True).ok


@pytest.mark.parametrize("deletion", DELETIONS)
def test_deleting_works_without_a_name_to_spare(few_names: Path, deletion: str) -> None:
    with run_of(few_names) as store:
        use_up_names(few_names)
        with pytest.raises(DiskFullError):
            store.commit({"w": noise(7, MIB)}, step=6)
        DELETIONS[deletion](store)
        assert store.gc().freed_bytes >= 0
        assert store.verify(data=True).ok


def test_an_index_that_lags_on_a_full_disk_catches_up(mount: Path, tmp_path: Path) -> None:
    with run_of(mount) as store:
        shutil.copytree(store.index_path, tmp_path / "index")
        for number in range(40):
            store.tag(f"tag-{number}-{'x' * 150}")
        store.close()
        shutil.rmtree(store.index_path)
        shutil.copytree(tmp_path / "index", store.index_path)
        fill(mount, 0)
        with Store(mount / "s", options=ONE_THREAD) as again:
            assert len(again.tags()) == 41
            assert [commit.step for commit in again.log("main")] == [5, 4, 3, 2, 0]


def test_without_a_reserve_a_full_disk_is_still_read(mount: Path) -> None:
    with Store.init(mount / "s", options=ONE_THREAD, reserve=0) as store:
        store.commit({"w": noise(1, MIB)}, step=1)
        store.commit({"w": noise(2, MIB)}, step=2)
        fill(mount, 0)
        with pytest.raises(DiskFullError):
            store.delete("step:1")
        assert (store.load("step:1")["w"] == noise(1, MIB)).all()
        assert store.verify(data=True).ok


def test_a_store_on_a_read_only_disk_is_read(
    mount: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Store.init(mount / "s", options=ONE_THREAD) as store:
        store.commit(small(1))
    frozen = mount / "frozen"
    frozen.mkdir()
    subprocess.run(["mount", "--bind", mount / "s", frozen], check=True)
    request.addfinalizer(lambda: subprocess.run(["umount", "-l", frozen], check=True))
    subprocess.run(["mount", "-o", "remount,ro,bind", frozen], check=True)
    with Store(frozen, options=ONE_THREAD) as store:
        assert store.index_path.startswith(str(tmp_path / "cache"))
        assert np.array_equal(store.load("main")["w"], small(1)["w"])
        assert store.verify(data=True).ok
        with pytest.raises(ReadOnlyError, match="reading the store still works"):
            store.commit(small(2))
        with pytest.raises(ReadOnlyError):
            store.tag("v1")
