"""A disk that is really full: nothing published, nothing lost, and room comes back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from crash_scenarios import ONE_THREAD, noise, refs_of, small

from deltackpt import Store
from deltackpt.fs.disk import DiskFullError, ReadOnlyError

MIB = 1 << 20


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, leave: int) -> Path:
    """A file that takes all room but ``leave`` bytes."""
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - leave)
    return ballast


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
