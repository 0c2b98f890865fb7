"""Where an index lives when it cannot live in the store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from disks import damage, log_file

from deltackpt import Store
from deltackpt.chunkstore import index_folder
from deltackpt.chunkstore.index_folder import NoLocalFolderError
from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.log_record import LogCorruptError
from deltackpt.chunkstore.view import View
from deltackpt.fs.disk import Disk
from deltackpt.maintenance import gc
from deltackpt.maintenance.repair.quarantine import keep_copy

Shares = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with this machine's cache and temporary folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(index_folder, "_TEMPORARY", ())
    return tmp_path


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> Shares:
    """Make these folders network shares."""

    def mount(*folders: str | Path) -> None:
        monkeypatch.setattr(index_folder, "is_network", lambda path: path.startswith(tuple(map(str, folders))))
        monkeypatch.setattr(index_folder, "filesystem_kind", lambda path: "nfs4")

    return mount


def rows(store: Store) -> list[tuple[bytes, bytes, bytes]]:
    """Where each chunk is, and each commit, as the index has it."""

    def everything(view: View) -> list[tuple[bytes, bytes, bytes]]:
        others = [(table, *row) for table in (b"commits", b"packs", b"refs") for row in view.tables.all(table)]
        return [(b"chunks", *row) for row in view.chunk_rows()] + others

    return store._repository.chunks.look_now(everything)


def own(machine: Path) -> Path:
    return machine / "tmp" / f"deltackpt-{os.geteuid()}"


def test_a_share_keeps_its_index_in_the_cache(
    store: Store, machine: Path, shares: Shares, caplog: pytest.LogCaptureFixture
) -> None:
    store.commit({"w": np.arange(9)}, step=1)
    shares(store.path)
    with Store(store.path) as mounted:
        assert mounted.index_path.startswith(str(machine / "cache" / "deltackpt"))
        assert mounted.load("main")["w"][8] == 8
        mounted.commit({"w": np.arange(9)}, step=2)
    assert store.resolve("main").step == 2, "two indexes, one truth"
    assert "is on a network share (nfs4), so its index is kept on this machine" in caplog.text


def test_an_index_elsewhere_is_told_once_and_not_by_every_job(
    store: Store, machine: Path, shares: Shares, caplog: pytest.LogCaptureFixture
) -> None:
    shares(store.path)
    for told in (1, 0):
        index_folder._say_once.cache_clear()
        caplog.clear()
        Store(store.path).close()
        assert caplog.text.count("its index is kept on this machine") == told


def test_the_umask_says_who_may_write_the_index(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        with Store.init(tmp_path / "shared") as made:
            made.commit({"w": 1})
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in Path(made.path).rglob("*") if path.is_file()}
    assert modes.pop("0000000000000001.rec") == 0o664
    assert {name: modes[name] for name in ("store.json", "lock", "data.mdb")} == dict.fromkeys(
        ("store.json", "lock", "data.mdb"), 0o664
    )


def test_a_store_in_a_folder_whose_name_is_no_unicode(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system has names of Unicode alone")
    with Store.init(os.path.join(folder, b"s")) as made:  # type: ignore[arg-type]
        for step in range(3):
            made.commit({"w": np.full(99, step)}, step=step)
        made.delete("step:1")
        assert not made.gc().empty
        shutil.rmtree(os.path.join(folder, b"s", b"index"))
    with Store(made.path) as again:
        assert again.load("main")["w"][98] == 2
        assert again.verify(data=True).ok


def test_two_copies_of_one_store_on_a_share_do_not_mix(store: Store, machine: Path, shares: Shares) -> None:
    store.commit({"w": np.arange(9)}, step=1)
    shutil.copytree(store.path, machine / "copy")
    shares(store.path, machine / "copy")
    with Store(store.path) as one, Store(machine / "copy") as two:
        here = one.commit({"x": np.arange(7)}, step=2)
        there = two.commit({"y": np.arange(7)}, step=2)
        assert one.resolve("main").id == here.id
        assert two.resolve("main").id == there.id


@pytest.mark.parametrize("how", ["missing", "damaged", "archived"])
def test_another_machine_notices_a_repair(
    store: Store, machine: Path, shares: Shares, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Its index knows what a record said before it was damaged, and the last record is still the same."""
    store.commit({"b": b"some bytes that travel within the record"}, step=1)
    store.tag("first", "step:1")
    store.delete_tag("first")
    store.commit({"w": np.arange(9)}, step=2)
    if how == "archived":
        monkeypatch.setattr(gc, "EPOCH_RECORDS", 1)
        store.gc()
    shares(store.path)

    def on(host: str) -> Store:
        monkeypatch.setenv("XDG_CACHE_HOME", str(machine / host))
        return Store(store.path)

    with on("there") as there:
        before = rows(there)
        folder = there.index_path
    store.close()
    if how == "archived":
        (segment,) = Path(store.path, "segments").iterdir()
        damage(segment, 60)
    elif how == "missing":
        log_file(store, 1).unlink()
    else:
        damage(log_file(store, 1), 60)
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "here"))
    Store.repair(store.path, execute=True)
    with on("here") as here, on("there") as there:
        assert there.index_path == folder != here.index_path
        assert rows(there) == rows(here) != before
        inode = Path(folder, "lmdb").stat().st_ino
    with on("there"):
        assert Path(folder, "lmdb").stat().st_ino == inode, "once is enough"


def test_an_index_is_kept_while_the_log_is_not_mended(store: Store) -> None:
    """A repair that was interrupted has left a name in quarantine, and the next one needs what the index knows."""
    store.commit({"w": np.arange(9)}, step=1)
    store.commit({"w": np.arange(7)}, step=2)
    before = rows(store)
    damage(log_file(store, 1), 60)
    keep_copy(Disk(), Layout(store.path), str(log_file(store, 1)), "0000000000000001.rec")
    with Store(store.path) as opened:
        assert rows(opened) == before
    assert Store.repair(store.path, execute=True).ok
    with Store(store.path) as opened:
        assert [commit.step for commit in opened.log("main")] == [2, 1]


def test_a_last_record_that_is_missing_is_not_forgotten_while_the_log_is_not_mended(store: Store) -> None:
    """What is left can be read to its end, and only the index knows that there was more."""
    store.commit({"w": np.arange(9)}, step=1)
    weights = np.random.default_rng(2).standard_normal(100_000)
    store.commit({"w": weights}, step=2)
    store.close()
    last = log_file(store, 2)
    # What a repair leaves that ends before it has put the record in its place.
    keep_copy(Disk(), Layout(store.path), str(last), f"{2:016d}-{last.parent.name}.rec.missing")
    last.unlink()
    for _ in range(2):
        with pytest.raises(LogCorruptError, match=r"log record 2 .* missing, though the index has seen it"):
            Store(store.path)
    assert Store.repair(store.path, execute=True).ok
    with Store(store.path) as opened:
        assert [commit.step for commit in opened.log("main")] == [2, 1]
        assert np.array_equal(opened.load("step:2")["w"], weights)


def test_a_home_on_a_share_is_no_place_for_an_index(store: Store, machine: Path, shares: Shares) -> None:
    shares(store.path, machine / "cache")
    assert Store(store.path).index_path.startswith(str(own(machine)))
    assert own(machine).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("trap", ["a link", "of another user", "open to others"])
def test_a_folder_that_others_could_have_made_is_not_trusted(
    store: Store, machine: Path, shares: Shares, trap: str
) -> None:
    shares(store.path, machine / "cache")
    elsewhere = machine / "elsewhere"
    elsewhere.mkdir()
    if trap == "a link":
        own(machine).symlink_to(elsewhere)
    else:
        own(machine).mkdir()
        if trap == "open to others":
            own(machine).chmod(0o777)
        elif os.geteuid() == 0:
            os.chown(own(machine), 65534, -1)
        else:
            pytest.skip("only root can give a folder away")
    reasons = {"a link": "symbolic link", "of another user": "another user", "open to others": "by others"}
    with pytest.raises(NoLocalFolderError, match="finds no place on this machine") as refused:
        Store(store.path)
    assert reasons[trap] in str(refused.value)
    assert "set XDG_CACHE_HOME or TMPDIR" in str(refused.value)
    assert list(own(machine).iterdir()) == []


@pytest.mark.parametrize("obstacle", ["folder", "data", "lock", "a file"])
def test_an_index_that_this_user_cannot_write_is_kept_apart(store: Store, machine: Path, obstacle: str) -> None:
    """As after another user, whose umask keeps everybody else out of what they make."""
    store.commit({"w": np.arange(9)}, step=1)
    store.close()
    index = Path(store.path, "index")
    if obstacle == "a file":
        shutil.rmtree(index)
        index.write_text("?")
    closed = {"folder": index, "data": index / "lmdb/data.mdb", "lock": index / "lock", "a file": index}[obstacle]
    closed.chmod(0o555)
    story = (
        "import sys; from deltackpt import Store; s = Store(sys.argv[1]);"
        "print(s.load('main')['w'][8], s.commit({'a': 1}, step=2).step, s.index_path)"
    )
    # Root may write anything until it gives up that power.
    powerless = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    command = [*powerless, sys.executable, "-c", story, store.path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    closed.chmod(0o755)
    value, step, path = done.stdout.split(maxsplit=2)
    assert (value, step) == ("8", "2")
    assert path.startswith(str(machine / "cache"))
    assert "that this user cannot write, so its index is kept on this machine" in done.stderr
