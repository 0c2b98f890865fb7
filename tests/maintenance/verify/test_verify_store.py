"""Checking a store: what is found, and everything that it affects."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disks import Overtaken, damage, log_file, opened, packs, tables_of, truth

from deltackpt import InvalidInputError, Keep, Options, Store
from deltackpt.chunkstore.pack import read_entries
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.ids import ChunkId, CommitId, PackId
from deltackpt.maintenance.verify.report import REPAIR, Affected, Report

SIZE = 40_000


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything over 2 KB goes to packs."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (2_000,))


def noise(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Store]:
    """Four commits: ``w`` is a chain of deltas, ``v`` is new each time, ``f`` never changes, the rest is small."""
    with Store.init(tmp_path / "store", options=Options(chain_budget=1000.0)) as store:
        w = noise(0)
        for step in range(1, 5):
            w = w + (np.arange(SIZE) % 97 == step).astype(np.uint8)
            small = {f"b{number}": noise(100 * step + number, 300) for number in range(8)}
            store.commit({"model": {"w": w, "v": noise(step + 10), "f": noise(99), **small}, "n": step}, step=step)
        yield store


def record_of(store: Store, plain: np.ndarray) -> tuple[Path, int, int]:
    """The file, the offset and the length of the record that holds these bytes."""
    chunk = ChunkId.of(plain.tobytes())
    at = store._repository.chunks.look(lambda view: view.chunk(chunk))
    assert at is not None
    return Path(store._repository.chunks.layout.pack(at.pack)), at.offset, at.stored_length


def w_at(step: int) -> np.ndarray:
    w = noise(0)
    for number in range(1, step + 1):
        w = w + (np.arange(SIZE) % 97 == number).astype(np.uint8)
    return w


def affected(report: Report) -> list[dict[tuple[int | None, str | None], tuple[str, ...]]]:
    """For each problem, tensors by step and part."""
    return [{(a.step, a.part): a.tensors for a in problem.affects} for problem in report.problems]


def fresh(store: Store, **how: Any) -> Report:
    """As another process would see it."""
    with Store(store.path) as other:
        return other.verify(**how)


def test_a_good_store(run: Store) -> None:
    quick, whole = run.verify(), run.verify(data=True)
    assert (quick.ok, whole.ok) == (True, True)
    assert (quick.commits, quick.packs) == (whole.commits, whole.packs) == (4, 4)
    rows = run._repository.chunks.look(lambda view: list(view.chunks()))
    assert quick.chunks == whole.chunks == len(rows)
    assert (quick.read_bytes, quick.checked_bytes) == (0, 0)
    assert whole.checked_bytes == sum(at.plain_length for _, at in rows)


def test_every_byte_between_the_frames_is_read(run: Store) -> None:
    frames = 0
    for path in packs(run):
        entries = read_entries(run._repository.chunks.disk, str(path), PackId.from_hex(path.stem))
        frames += entries[0].offset + path.stat().st_size - entries[-1].offset - entries[-1].head.stored_length
    heard: list[tuple[int, int]] = []
    report = run.verify(data=True, progress=lambda done, total: heard.append((done, total)))
    stored = sum(path.stat().st_size for path in packs(run)) - frames
    assert report.read_bytes == stored
    assert heard[-1] == (stored, stored)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_it_changes_nothing(run: Store) -> None:
    before = truth(run)
    run.verify(data=True)
    assert truth(run) == before


def test_a_damaged_base_takes_every_delta_on_it_along(run: Store) -> None:
    path, offset, length = record_of(run, w_at(2))
    damage(path, offset + length - 5)
    report = fresh(run, data=True)
    [problem] = report.problems
    chunk = ChunkId.of(w_at(2).tobytes())
    assert problem.what == f"chunk {chunk.short} in {str(path)!r} at byte {offset}: checksum does not match"
    assert problem.advice == REPAIR
    assert affected(report) == [{(step, "model"): ("model/w",) for step in (2, 3, 4)}]
    assert fresh(run).ok, "quick does not read records"


def test_two_damages_on_one_chain_are_two_problems(run: Store) -> None:
    for step in (2, 4):
        path, offset, length = record_of(run, w_at(step))
        damage(path, offset + length - 5)
    assert affected(fresh(run, data=True)) == [
        {(2, "model"): ("model/w",), (3, "model"): ("model/w",)},
        {(4, "model"): ("model/w",)},
    ]


def test_a_shared_chunk_affects_every_commit_that_has_it(run: Store) -> None:
    path, offset, _ = record_of(run, noise(99))
    damage(path, offset + 100)
    assert affected(fresh(run, data=True)) == [{(step, "model"): ("model/f",) for step in (1, 2, 3, 4)}]


def test_small_tensors_go_together(run: Store) -> None:
    path, offset, length = record_of(run, noise(305, 300))
    damage(path, offset + length - 1)
    assert affected(fresh(run, data=True)) == [{(3, "model"): tuple(f"model/b{number}" for number in range(8))}]


def test_a_damaged_manifest_affects_its_part(run: Store) -> None:
    part = next(part for part in run.resolve("step:3").parts if part.name == "model")
    at = run._repository.chunks.look(lambda view: view.chunk(ChunkId(part.id)))
    assert at is not None
    damage(run._repository.chunks.layout.pack(at.pack), at.offset + at.stored_length - 1)
    found = affected(fresh(run, data=True))[0]
    assert found[3, "model"] == ()
    assert {step for step, _ in found} == {3}


def test_garbage_is_read_too(run: Store) -> None:
    run.commit({"lost": noise(7)}, branch="dev")
    path, offset, _ = record_of(run, noise(7))
    run.delete_branch("dev")
    damage(path, offset + 200)
    # The commit itself is still in the store until a gc.
    assert affected(fresh(run, data=True)) == [{(None, "lost"): ()}] or affected(fresh(run, data=True)) == [
        {(None, ""): ("lost",)}
    ]


def test_a_second_copy_that_is_never_used_is_read_too(run: Store, tmp_path: Path) -> None:
    copied = Store(run.path)
    with Transaction(run._repository.chunks, run._repository.reader) as slow:
        chunk = ChunkId.of(noise(8).tobytes())
        from deltackpt.chunkstore.encoder import ChunkEncoder
        from deltackpt.chunkstore.transaction import Decision
        from deltackpt.tensor.dtype import dtype_named

        head, payload = ChunkEncoder(run._repository.reader, 10.0).encode(
            chunk, memoryview(noise(8).tobytes()), dtype_named("uint8").element, None, {}
        )
        slow.put(head, payload)
        copied.commit({"same": noise(8)}, branch="first")
        before = set(packs(run))
        slow.publish(lambda view: Decision("keep"))
    [second] = set(packs(run)) - before
    damage(second, 1000)
    report = fresh(run, data=True)
    assert [problem.affects for problem in report.problems] == [()]
    assert f"{str(second)!r}" in report.problems[0].what


def test_a_lost_pack_and_all_that_stands_on_it(run: Store) -> None:
    path, _, _ = record_of(run, w_at(2))
    path.unlink()
    for how in ({}, {"data": True}):
        report = fresh(run, **how)
        assert [problem.what for problem in report.problems] == [f"pack {path.stem[:12]} ({path}) is missing"]
        [found] = affected(report)
        assert found[2, "model"] == ()
        assert found[3, "model"] == found[4, "model"] == ("model/w",)


def test_a_damaged_footer(run: Store) -> None:
    path, _, _ = record_of(run, w_at(4))
    damage(path, path.stat().st_size - 90)
    report = fresh(run)
    assert [problem.what.split("): ")[1].split(" at ")[0] for problem in report.problems] == ["footer"]
    assert {step for step, _ in affected(report)[0]} == {4}


@pytest.mark.parametrize("place", range(0, 3000, 61))
def test_any_byte_of_a_pack_is_missed(tmp_path: Path, place: int) -> None:
    with Store.init(tmp_path / "store") as store:
        store.commit({"w": noise(1, 2_500)}, step=1)
        [path] = packs(store)
        damage(path, place % path.stat().st_size)
        assert not fresh(store, data=True).ok


def test_a_damaged_log_record_names_what_the_index_alone_knows(run: Store) -> None:
    path = log_file(run, 2)
    damage(path)
    path_w, offset, _ = record_of(run, w_at(4))
    damage(path_w, offset + 150)
    report = fresh(run, data=True)
    assert report.problems[0].what == f"log record 2 ({path}): checksum does not match"
    assert "restore this file from a copy" in report.problems[0].advice
    assert affected(report) == [
        {(step, None): () for step in (2, 3, 4)},
        {(4, "model"): ("model/w",)},
    ]


def tamper(store: Store, change: Any) -> None:
    """Change the index behind the store's back, checksums and all."""
    store.verify()
    with tables_of(store) as tables:
        change(tables)


def index_problem(store: Store) -> str:
    report = store.verify()
    [problem] = report.problems
    folder = store.index_path
    assert problem.advice == f"remove the folder {folder!r}; the next command builds the index again"
    assert problem.affects == ()
    store.close()
    shutil.rmtree(folder)
    assert fresh(store).ok
    return problem.what.removeprefix(f"the index in {folder!r} is not what the log says: ")


def test_a_row_that_points_elsewhere(run: Store) -> None:
    one, other = (ChunkId.of(noise(step + 10).tobytes()) for step in (1, 2))
    tamper(run, lambda tables: tables.put(b"chunks", one, tables.get(b"chunks", other)))
    assert index_problem(run) == f"chunk {one.short} differs"


def test_a_row_that_is_missing(run: Store) -> None:
    chunk = ChunkId.of(noise(11).tobytes())
    tamper(run, lambda tables: tables.delete(b"chunks", chunk))
    assert index_problem(run) == f"chunk {chunk.short} differs"


def test_a_row_of_nothing(run: Store) -> None:
    chunk = ChunkId.of(b"never stored")
    row = run._repository.chunks.look(lambda view: view.tables.get(b"chunks", ChunkId.of(noise(11).tobytes())))
    tamper(run, lambda tables: tables.put(b"chunks", chunk, row))
    assert index_problem(run) == f"chunk {chunk.short} differs"


def test_a_branch_that_stands_elsewhere(run: Store) -> None:
    commit = run.resolve("step:2").id
    tamper(run, lambda tables: tables.put(b"refs", b"heads/main", commit))
    assert index_problem(run) == "branches or tags differ"


def test_a_commit_that_is_hidden(run: Store) -> None:
    commit = run.resolve("step:2").id
    tamper(run, lambda tables: tables.delete(b"commits", commit))
    assert index_problem(run) == f"commit {commit.short} differs"


def test_a_deletion_that_never_was(run: Store) -> None:
    commit = run.resolve("step:2").id
    tamper(run, lambda tables: tables.put(b"meta", b"deleted:" + commit, b"\x92\xc0\xc2"))
    assert index_problem(run) == f"what is deleted of commit {commit.short} differs"


def test_after_prunes_gcs_and_undeletes_the_index_is_what_the_log_says(run: Store) -> None:
    run.commit({"w": noise(70)}, branch="dev")
    run.prune(Keep(last=2, optimizer=1))
    run.undelete(next(found.commit.id for found in run.recoverable()))
    run.delete_branch("dev")
    run.gc()
    run.commit({"w": noise(70), "x": noise(71)}, step=9)
    assert run.verify(data=True).ok
    assert fresh(run, data=True).ok


def test_a_gc_beside_it_is_no_problem(run: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything moves to other packs between the plan and the reading."""
    from deltackpt.maintenance.verify import store as checking

    run.commit({"lost": noise(60), "w": noise(61)}, branch="dev")
    run.delete_branch("dev")
    run.delete("step:3")
    plan_work = checking.plan_work

    def meanwhile(*arguments: Any) -> Any:
        with Store(run.path) as other:
            other.commit({"w": noise(62), "v": noise(13)}, step=5)
            other.delete("step:2")
            assert other.gc().condemned
        return plan_work(*arguments)

    monkeypatch.setattr(checking, "plan_work", meanwhile)
    assert fresh(run, data=True).problems == []


def test_a_gc_takes_a_bundle_that_is_being_decoded(run: Store) -> None:
    """Its bytes were there, and its chunks are in no pack any more: they are nobody's concern."""
    bundle = {f"x{number}": noise(200 + number, 1_500) for number in range(8)}
    run.commit(bundle, branch="dev")
    bundle = {f"x{number}": bundle[f"x{number}"] + noise(300 + number, 1_500) % 8 for number in range(8)}
    run.commit(bundle, branch="dev")
    place = run._repository.chunks.look(lambda view: view.chunk(ChunkId.of(bundle["x0"].tobytes())))
    assert place is not None
    assert (place.members > 1, place.rank) == (True, 1)
    run.delete_branch("dev")
    path = Path(run._repository.chunks.layout.pack(place.pack))
    assert path.exists()
    with opened(run.path, Overtaken(path, place.offset + place.stored_length - 1, run.gc), threads=1) as store:
        assert store.verify(data=True).problems == []
    assert not path.exists()


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_that_makes_no_sense(run: Store, share: float) -> None:
    with pytest.raises(InvalidInputError, match="a sample is a share of the store"):
        run.verify(sample=share)


def test_affected_is_a_value() -> None:
    commit = CommitId(bytes(32))
    assert Affected(commit, 1, "model", ("w",)) == Affected(commit, 1, "model", ("w",))
