"""Things that go wrong around a store: said in one line, and nothing is lost."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disks import damage, files, log_file, make_newer, packs, truth
from skeleton_round_trip import assert_same

from deltackpt import CorruptError, DeltackptError, Options, StorageError, Store
from deltackpt.chunkstore.pack import read_entries
from deltackpt.errors import UnsupportedError
from deltackpt.fs.disk import Disk
from deltackpt.ids import PackId


def state(value: int, size: int = 300_000) -> dict[str, Any]:
    return {"model": {"w": np.random.default_rng(value).integers(0, 256, size, np.uint8)}}


def test_a_store_of_a_newer_format(store: Store) -> None:
    make_newer(Path(store.path))
    with pytest.raises(UnsupportedError) as caught:
        Store(store.path)
    facts = os.path.join(store.path, "store.json")
    assert str(caught.value) == f"{facts!r}: store format 9, this release reads up to 1; upgrade deltackpt"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 0}', '{"format": 0, "store_id": "ab", "created": ""}']
)
def test_facts_that_are_damaged(store: Store, text: str) -> None:
    Path(store.path, "store.json").write_text(text)
    with pytest.raises(CorruptError, match=r"store\.json' is damaged .*; restore it from a copy"):
        Store(store.path)


def test_a_store_without_its_index_builds_it_again(store: Store) -> None:
    for step in range(1, 4):
        store.commit(state(step), step=step)
    shutil.rmtree(store.index_path)
    heard: list[tuple[int, int]] = []
    again = Store(store.path, progress=lambda done, total: heard.append((done, total)))
    assert_same(again.load("main~1"), state(2))
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_a_damaged_index_is_built_again(store: Store) -> None:
    store.commit(state(1), step=1)
    store.close()
    code = "import sys, deltackpt; print(deltackpt.Store(sys.argv[1]).load('main')['model']['w'].sum())"
    data = Path(store.index_path, "lmdb", "data.mdb")
    for place in (0, 4096, 8192, data.stat().st_size // 2, data.stat().st_size - 100):
        damage(data, place)
        done = subprocess.run([sys.executable, "-c", code, store.path], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == str(state(1)["model"]["w"].sum()), done.stderr


def test_a_lost_pack_costs_its_own_commits_only(store: Store) -> None:
    store.commit(state(1), step=1, branch="a")
    [first] = packs(store)
    other = {"other": {"v": state(2)["model"]["w"]}}
    store.commit(other, step=1, branch="b")
    first.unlink()
    fresh = Store(store.path)
    assert_same(fresh.load("b"), other)
    with pytest.raises(DeltackptError) as caught:
        fresh.load("a")
    assert "is missing" in str(caught.value)
    assert str(first) in str(caught.value)
    assert next(problem.what for problem in fresh.verify().problems) == f"pack {first.stem[:12]} ({first}) is missing"
    fresh.commit(state(3), step=2, branch="b")


def run(step: int) -> dict[str, Any]:
    """Weights that change, a tensor that does not, small tensors: every kind of chunk, and always the same layout."""
    weights = np.random.default_rng(step).standard_normal(200_000)
    small = {f"b{number}": np.arange(300) * step + number for number in range(5)}
    return {"model": {"w": weights, "frozen": state(1)["model"]["w"], **small}, "step": step}


@pytest.fixture
def grown(store: Store) -> list[Path]:
    """The packs of the three commits of a run, in the order of writing."""
    order: list[Path] = []
    for step in (1, 2, 3):
        store.commit(run(step), step=step)
        order += [path for path in packs(store) if path not in order]
    assert len(order) == 3
    return order


@pytest.mark.parametrize("lost", ["first", "second", "third", "every"])
def test_a_lost_pack_does_not_stop_a_branch(
    store: Store, grown: list[Path], lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have held manifests, layouts or bases. What is committed from then on is whole."""
    for path in {"first": grown[:1], "second": grown[1:2], "third": grown[2:], "every": grown}[lost]:
        path.unlink()
    fresh = Store(store.path)
    for step in (4, 5):
        fresh.commit(run(step), step=step)
    assert caplog.text.count("is damaged") == (0 if lost == "second" else 1)
    reader = Store(store.path, options=Options(cache_bytes=0))
    for step in (4, 5):
        assert_same(reader.load(f"step:{step}"), run(step))
    assert fresh.stats().commits == 5
    shutil.rmtree(store.index_path)
    assert_same(Store(store.path).load("main"), run(5))


def test_a_damaged_pack_does_not_stop_a_branch(store: Store, grown: list[Path]) -> None:
    """Its frame is sound, so that the index trusts it; nothing in it can be read."""
    for entry in read_entries(Disk(), str(grown[0]), PackId.from_hex(grown[0].stem)):
        damage(grown[0], entry.offset + entry.head.size)
    Store(store.path, options=Options(cache_bytes=0)).commit(run(4), step=4)
    fresh = Store(store.path, options=Options(cache_bytes=0))
    assert_same(fresh.load("main"), run(4))
    fresh.commit(run(5), step=5)
    assert_same(fresh.load("main"), run(5))


def test_a_pack_that_is_lost_while_its_chunks_are_in_memory_is_no_base(store: Store, grown: list[Path]) -> None:
    for path in grown:
        path.unlink()
    store.commit(run(4), step=4)
    weights = Store(store.path, options=Options(cache_bytes=0)).load("main", select="model/w")["model"]["w"]
    assert np.array_equal(weights, run(4)["model"]["w"])


def test_what_is_stored_again_heals_older_commits(store: Store, grown: list[Path]) -> None:
    grown[0].unlink()
    fresh = Store(store.path)
    fresh.commit(run(1), step=4)
    for step in (1, 4):
        assert_same(fresh.load(f"step:{step}")["model"], run(1)["model"])
    grown[0].write_bytes(b"")
    assert fresh.load("step:2")["step"] == 2


def test_a_lost_log_record_is_named(store: Store) -> None:
    for step in range(1, 4):
        store.commit(state(step), step=step)
    lost = log_file(store, 2)
    lost.unlink()
    named = f"log record 2 ({lost}): missing, though record 3 exists"
    # The index knows what it said; it could not be built again.
    assert [problem.what for problem in Store(store.path).verify().problems] == [named]
    shutil.rmtree(store.index_path)
    with pytest.raises(CorruptError) as caught:
        Store(store.path)
    assert str(caught.value) == (
        f"{named}; commits before it are intact, run `deltackpt repair`, or restore this file from a copy of the store"
    )


def test_a_damaged_log_record_is_named(store: Store) -> None:
    for step in range(1, 4):
        store.commit(state(step), step=step)
    damaged = log_file(store, 3)
    damage(damaged)
    shutil.rmtree(store.index_path)
    with pytest.raises(CorruptError, match=r"^log record 3 \(.*\): checksum does not match; commits before it"):
        Store(store.path).load("main")


def test_every_byte_of_a_pack_is_checked(store: Store) -> None:
    store.commit(state(1, 300_000), step=1)
    [pack] = packs(store)
    whole = pack.read_bytes()
    for place in range(0, len(whole), 9973):
        damage(pack, place)
        fresh = Store(store.path)
        assert not fresh.verify(data=True).ok
        try:
            loaded = fresh.load("main")
        except CorruptError:
            loaded = state(1, 300_000)
        assert_same(loaded, state(1, 300_000))
        pack.write_bytes(whole)


def test_a_full_disk_in_the_middle_of_a_commit(store: Store) -> None:
    store.commit(state(1), step=1)
    before = truth(store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, hard))
    try:
        with pytest.raises(StorageError) as caught:
            store.commit(state(2, 3_000_000), step=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).endswith("File too large; nothing was published; free some room and try again")
    assert truth(store) == before
    assert os.listdir(Path(store.path, "tmp")) == []
    store.commit(state(2, 3_000_000), step=2)
    assert_same(store.load("main"), state(2, 3_000_000))
    assert_same(store.load("main~1"), state(1))


KILLED = """
import os, signal, sys
import numpy as np
from deltackpt import Store
from deltackpt.fs.disk import Disk
from disks import opened

class Deadly(Disk):
    calls = 0
def deadly(name):
    real = getattr(Disk, name)
    def call(self, *arguments):
        Deadly.calls += 1
        if Deadly.calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, *arguments)
    setattr(Deadly, name, call)
for name in ("create", "write", "sync", "sync_directory", "rename", "link", "unlink"):
    deadly(name)
store = opened(sys.argv[1], Deadly())
store.commit({"model": {"w": np.random.default_rng(2).integers(0, 256, 300_000, np.uint8)}}, step=2)
"""


@pytest.mark.parametrize("call", [1, 3, 5, 7, 9, 11])
def test_a_killed_writer_leaves_a_store_that_opens(store: Store, call: int) -> None:
    store.commit(state(1), step=1)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", KILLED, store.path, str(call)]
    done = subprocess.run(command, env=environment, check=False, capture_output=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    fresh = Store(store.path)
    steps = [commit.step for commit in fresh.log("main")]
    assert steps in ([1], [2, 1])
    assert_same(fresh.load("step:1"), state(1))
    assert fresh.verify(data=True).ok
    fresh.commit(state(3), step=3)
    assert_same(fresh.load("main"), state(3))


READ_ONLY = """
import sys, deltackpt
store = deltackpt.Store(sys.argv[1])
print(store.load("main")["model"]["w"].sum(), [c.step for c in store.log("main")], store.verify().ok)
for call in (lambda: store.commit({"n": 1}), lambda: store.tag("x"), lambda: store.gc()):
    try:
        call()
    except deltackpt.DeltackptError as error:
        print(type(error).__name__, error)
print(store.gc(dry_run=True).empty)
"""


def test_a_store_that_cannot_be_written_can_be_read(store: Store, tmp_path: Path) -> None:
    store.commit(state(1), step=1)
    store.close()
    # Root may write anything until it gives up that power.
    powerless = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    command = [*powerless, sys.executable, "-c", READ_ONLY, store.path]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    before = files(store.path)
    subprocess.run(["chmod", "-R", "a-w", store.path], check=True)
    try:
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    finally:
        subprocess.run(["chmod", "-R", "u+w", store.path], check=True)
    assert done.returncode == 0, done.stderr
    assert files(store.path) == before
    read, commit, tag, collect, empty = done.stdout.splitlines()
    assert read == f"{state(1)['model']['w'].sum()} [1] True"
    assert commit == tag == f"ReadOnlyError {store.path!r} cannot be written; reading the store still works"
    assert collect == (
        f"ReadOnlyError {store.path!r} cannot be written; use --dry-run (dry_run=True) to see what gc would free"
    )
    assert empty == "True"


def test_a_big_endian_host_is_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "byteorder", "big")
    error = "^stores are little-endian and this host is big-endian; use a little-endian host$"
    with pytest.raises(UnsupportedError, match=error):
        Store(store.path)
    with pytest.raises(UnsupportedError, match=error):
        Store.init(tmp_path / "other")
    assert not (tmp_path / "other").exists()
