"""A look around stores that are well, and around those that are not: what hurts is named, and nothing is changed."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from disks import damage, files, log_file, make_newer, packs

from deltackpt import NotFoundError, Store
from deltackpt.chunkstore.pack_writer import PackWriter
from deltackpt.fs.lock import hold
from deltackpt.maintenance.doctor import machine, records
from deltackpt.maintenance.doctor.checkup import Checkup


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Store]:
    """Three commits of a pack each."""
    with Store.init(tmp_path / "store") as store:
        for step in range(3):
            noise = np.random.default_rng(step).integers(0, 256, 300_000, dtype=np.uint8)
            store.commit({"w": noise}, step=step)
        yield store


def troubles(found: Checkup) -> list[str]:
    return [trouble.what for trouble in found.troubles]


def test_a_store_that_is_well(run: Store) -> None:
    before = files(run.path)
    found = Store.doctor(run.path)
    assert found.troubles == ()
    assert files(run.path) == before, "nothing was changed"
    assert found.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found.versions["lmdb"].startswith("0.9.")
    assert found.store is not None
    assert (found.store.packs, found.store.records, found.store.writers, found.store.tmp_bytes) == (3, 3, 0, 0)
    assert found.store.pack_bytes == sum(path.stat().st_size for path in packs(run))
    assert found.log is not None
    assert found.log.last == 3
    assert found.index is not None
    assert found.index.applied == 3
    assert found.index.rows["commits"] == 3
    assert found.index.pages * found.index.page_bytes <= found.index.file_bytes <= found.index.map_bytes
    assert found.disk.reserved_bytes == found.disk.reserve_bytes == 1 << 20
    assert found.disk.free_bytes <= found.disk.total_bytes


def test_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not a store"):
        Store.doctor(tmp_path)


def test_facts_that_are_damaged(run: Store) -> None:
    Path(run.path, "store.json").write_text("{")
    found = Store.doctor(run.path)
    assert "is damaged" in troubles(found)[0]
    assert (found.store, found.log, found.index) == (None, None, None)


def test_a_store_of_a_newer_format(run: Store) -> None:
    make_newer(Path(run.path))
    assert "store format 9" in troubles(Store.doctor(run.path))[0]


def test_a_damaged_and_a_missing_log_record(run: Store) -> None:
    record = log_file(run, 2)
    whole = record.read_bytes()
    damage(record)
    assert troubles(Store.doctor(run.path)) == [f"log record 2 ({record}): checksum does not match"]
    record.unlink()
    assert troubles(Store.doctor(run.path))[0] == f"log record 2 ({record}): missing, though record 3 exists"
    record.write_bytes(whole)
    shutil.rmtree(Path(run.path, "log"))
    assert "and with it all commits" in troubles(Store.doctor(run.path))[0]


def test_an_index_that_is_missing_lags_or_is_of_another_time(run: Store, tmp_path: Path) -> None:
    run.close()
    shutil.copytree(run.index_path, tmp_path / "old")
    run.commit({"n": 1}, step=9)
    run.close()
    shutil.rmtree(run.index_path)
    found = Store.doctor(run.path)
    assert troubles(found) == [f"there is no index in {run.index_path!r}"]
    assert not Path(run.index_path).exists()
    shutil.copytree(tmp_path / "old", run.index_path)
    assert troubles(Store.doctor(run.path)) == ["the index is 1 record behind the log"]
    Store(run.path).log()


def test_an_index_that_saw_more_than_there_is(run: Store) -> None:
    log_file(run, 3).unlink()
    assert troubles(Store.doctor(run.path))[0] == "the index has seen log record 3, and the last one in the log is 2"


def test_a_damaged_index(run: Store) -> None:
    run.close()
    Path(run.index_path, "lmdb", "data.mdb").write_bytes(b"\0" * 5000)
    code = "import sys, deltackpt; print([t.what for t in deltackpt.Store.doctor(sys.argv[1]).troubles])"
    done = subprocess.run([sys.executable, "-c", code, run.path], capture_output=True, text=True, check=True)
    assert "cannot be used" in done.stdout


def test_what_writers_left_behind(run: Store) -> None:
    Path(run.path, "tmp", "00ff.pack").write_bytes(b"x" * 700)
    Path(run.path, "log", ".abc.tmp").write_bytes(b"x" * 50)
    long_ago = time.time() - 3 * 3600
    os.utime(Path(run.path, "tmp", "00ff.pack"), (long_ago, long_ago))
    [what] = troubles(Store.doctor(run.path))
    assert what == "2 files, 750 bytes, the oldest 3 hours old, of writers that did not finish lie in tmp and log"


def test_a_writer_at_work_is_no_trouble(run: Store) -> None:
    path = Path(run.path, "tmp", "00ff.pack")
    with path.open("wb") as growing:
        growing.write(b"x" * 700)
        growing.flush()
        hold(growing.fileno())
        found = Store.doctor(run.path)
    assert found.ok
    assert found.store is not None
    assert (found.store.writers, found.store.tmp_bytes) == (1, 700)


def test_packs_that_are_missing_or_cut_short(run: Store) -> None:
    whole, cut, away = (path for path in packs(run))
    os.truncate(cut, cut.stat().st_size - 1)
    assert troubles(Store.doctor(run.path)) == [f"pack {cut.stem[:12]} is missing or has not its length"]
    away.unlink()
    [found] = Store.doctor(run.path).troubles
    assert found.what == f"pack {min(cut.stem, away.stem)[:12]} is missing or has not its length, and 1 more"
    assert found.advice == "`deltackpt repair` says what that costs, and fetches it `--from` a copy"
    assert whole.exists()
    Store.repair(run.path, execute=True)
    assert troubles(Store.doctor(run.path)) == []


def test_a_pack_that_no_record_names(run: Store) -> None:
    chunks = run._repository.chunks
    writer = PackWriter(chunks.disk, chunks.layout)
    from deltackpt.chunkstore.record import Kind, Member, RecordHead
    from deltackpt.ids import ChunkId

    writer.append(RecordHead(Kind.DATA, 0, 0, 0, 0.0, 4, (Member(ChunkId.of(b"1234"), 4),)), [b"1234"])
    [pack] = writer.finish()
    [what] = troubles(Store.doctor(run.path))
    assert what.startswith(f"1 file, {pack.size} bytes, the oldest 0 minutes old, are packs that no log record names")


def test_a_record_from_the_future(run: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: time.monotonic_ns() + 4_000_000_000_000_000_000)
    run.commit({"n": 1}, step=9)
    [what] = troubles(Store.doctor(run.path))
    assert what.startswith("the newest log record was made ")
    assert what.endswith(" from now: some clock is wrong")


def test_a_reserve_that_is_gone(run: Store) -> None:
    shutil.rmtree(Path(run.path, "reserve"))
    found = Store.doctor(run.path)
    assert troubles(found) == ["0 of 1048576 bytes are reserved for deleting on a full disk"]
    assert found.troubles[0].advice == "free some room; `deltackpt gc` sets it aside again"
    run.gc()
    assert Store.doctor(run.path).ok


def test_a_disk_with_little_room(run: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deltackpt.fs.disk.Disk.free_bytes", lambda self, path: 1000)
    added = run.resolve("main").stored_bytes
    assert troubles(Store.doctor(run.path)) == [
        f"1000 bytes are free, the newest commit took {added}: the next one may not fit"
    ]


def test_file_systems_that_do_not_suit(run: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "has_hard_links", lambda path: False)
    monkeypatch.setattr(machine, "filesystem_kind", lambda path: "vfat")
    monkeypatch.setattr(records, "is_network", lambda path: True)
    assert troubles(Store.doctor(run.path)) == [
        f"the index in {run.index_path!r} lies on a network share, where LMDB is not safe",
        "vfat has no hard links, which publishing needs",
    ]


def test_what_this_user_may_not_read_or_write(run: Store, tmp_path: Path) -> None:
    run.close()
    code = "import sys, deltackpt; print([t.what for t in deltackpt.Store.doctor(sys.argv[1]).troubles])"
    # Root may do anything until it gives up that power.
    powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    packs(run)[0].chmod(0)
    Path(run.path, "log").chmod(0o555)
    try:
        done = subprocess.run(
            [*powerless, sys.executable, "-c", code, run.path], capture_output=True, text=True, check=True
        )
    finally:
        Path(run.path, "log").chmod(0o755)
    assert f"cannot be read by this user, such as {str(packs(run)[0])!r}" in done.stdout
    assert "cannot be written by this user; reading works" in done.stdout


def test_the_newest_record_tells_the_time(run: Store) -> None:
    found = Store.doctor(run.path)
    assert found.log is not None
    assert found.log.last == 3
    assert found.log.time is not None
    assert abs((found.log.time - datetime.datetime.now(datetime.UTC)).total_seconds()) < 600
