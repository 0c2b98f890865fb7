"""Damaged packs: what is sound is kept, what is lost is named, and everything else goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from damaged import STEPS, build, check_mended, loads, lost, noise, pack_of, place_of, state, w_at
from disks import Meanwhile, Overtaken, damage, files

from deltackpt import CorruptError, InvalidInputError, Store
from deltackpt.chunkstore.transaction import Transaction
from deltackpt.ids import ChunkId
from deltackpt.maintenance.repair.repair import repair


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything over 2 KB goes to packs."""
    monkeypatch.setattr(Transaction.__init__, "__defaults__", (2_000,))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Store]:
    with build(tmp_path / "store") as store:
        yield store


def quarantined(store: Store) -> list[str]:
    return sorted(path.name for path in Path(store.path, "quarantine").glob("*"))


def lost_chunks(store: Store) -> frozenset[ChunkId]:
    return store._repository.chunks.look_now(lambda view: view.lost())


def flip(store: Store, plain: object) -> Path:
    """Flip a byte of the payload of the record that holds a chunk."""
    place = place_of(store, plain)  # type: ignore[arg-type]
    path = pack_of(store, plain)  # type: ignore[arg-type]
    damage(path, place.offset + place.stored_length - 5)
    return path


def test_a_good_store_needs_no_repair(run: Store) -> None:
    before = files(run.path)
    for execute in (False, True):
        plan = Store.repair(run.path, execute=execute)
        assert plan.empty
        assert plan.ok
    after = files(run.path)
    assert {name: data for name, data in after.items() if not name.startswith("index")} == {
        name: data for name, data in before.items() if not name.startswith("index")
    }


def test_a_plan_changes_nothing_and_tells_all(run: Store) -> None:
    path = flip(run, w_at(2))
    before = files(run.path)
    plan = Store.repair(run.path)
    assert lost(plan) == {step: {"model/w"} for step in (2, 3, 4)}
    assert [mend.aside for mend in plan.mends] == [str(path), ""]
    assert "checksum does not match" in plan.mends[0].what
    assert plan.mends[1].what == "1 chunk cannot be had"
    after = files(run.path)
    assert {name for name in after if after[name] != before.get(name) and not name.startswith("index")} == set()


def test_a_damaged_record_costs_what_stands_on_it(run: Store) -> None:
    path = flip(run, w_at(2))
    data = path.read_bytes()
    losses = {step: {"model/w"} for step in (2, 3, 4)}
    plan = Store.repair(run.path, execute=True)
    assert lost(plan) == losses
    assert not path.exists()
    assert quarantined(run) == [path.name]
    assert Path(run.path, "quarantine", path.name).read_bytes() == data
    check_mended(run.path, losses)


def test_reading_what_is_lost_names_tensor_commit_and_what_next(run: Store) -> None:
    flip(run, noise(12))
    Store.repair(run.path, execute=True)
    commit = run.resolve("step:2").description
    with pytest.raises(CorruptError) as caught:
        run.load("step:2")
    told = str(caught.value)
    assert told.startswith(f"commit {commit}: tensor 'model/v': chunk ")
    assert "run `deltackpt repair --from` a copy" in told
    loads(run, 2, {"model/v"})


def test_a_missing_pack(run: Store) -> None:
    pack_of(run, noise(13)).unlink()
    plan = Store.repair(run.path, execute=True)
    # The manifests of the commit lie in its pack, too.
    assert lost(plan)[3] == {"(model)", "()"}
    assert quarantined(run) == []
    with pytest.raises(CorruptError, match="nothing was deleted"):
        run.gc()
    run.delete("step:3")
    run.gc()
    assert lost(Store.repair(run.path)) == {4: {"model/w"}}
    for step in (1, 2):
        loads(run, step)
    loads(run, 4, {"model/w"})


@pytest.mark.parametrize("keep", ["all but the end", "half", "the header"])
def test_a_truncated_pack(run: Store, keep: str) -> None:
    path = pack_of(run, noise(14))
    data = path.read_bytes()
    path.write_bytes(data[: {"all but the end": len(data) - 30, "half": len(data) // 2, "the header": 32}[keep]])
    plan = Store.repair(run.path, execute=True)
    if keep == "all but the end":
        assert plan.ok
        check_mended(run.path, {})
    else:
        assert set(lost(plan)) == {4}
        assert Store.repair(run.path).empty
    for step in STEPS[:3]:
        loads(run, step)


def test_a_damaged_header_and_no_index(run: Store) -> None:
    damage(pack_of(run, noise(12)), 3)
    import shutil

    shutil.rmtree(run.index_path)
    assert Store.repair(run.path, execute=True).ok
    check_mended(run.path, {})


def test_the_next_commit_heals(run: Store) -> None:
    flip(run, w_at(2))
    flip(run, noise(12))
    Store.repair(run.path, execute=True)
    run.commit(state(2), step=20, branch="again")
    for step in STEPS:
        loads(run, step)
    assert run.verify(data=True).ok
    assert Store.repair(run.path).empty


def test_another_store_heals(run: Store, tmp_path: Path) -> None:
    other = build(tmp_path / "other")
    other.close()
    flip(run, w_at(2))
    pack_of(run, noise(13)).unlink()
    plan = Store.repair(run.path, execute=True, sources=[other.path])
    assert plan.ok
    assert any("fetched from" in mend.remedy for mend in plan.mends)
    check_mended(run.path, {})


def test_another_store_heals_what_was_declared_lost_long_ago(run: Store, tmp_path: Path) -> None:
    build(tmp_path / "other").close()
    pack_of(run, noise(13)).unlink()
    Store.repair(run.path, execute=True)
    assert not Store.repair(run.path).ok
    assert Store.repair(run.path, execute=True, sources=[str(tmp_path / "other")]).ok
    check_mended(run.path, {})


def test_an_exported_file_heals(run: Store, tmp_path: Path) -> None:
    file = str(tmp_path / "out.safetensors")
    run.checkout("step:2", file)
    flip(run, w_at(2))
    flip(run, noise(12))
    flip(run, noise(13))
    plan = Store.repair(run.path, execute=True, sources=[file])
    assert lost(plan) == {3: {"model/v"}}
    check_mended(run.path, {3: {"model/v"}})


def test_sources_that_are_none(run: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="being repaired"):
        Store.repair(run.path, sources=[run.path])
    with pytest.raises(InvalidInputError, match="nothing at"):
        Store.repair(run.path, sources=[str(tmp_path / "none")])


def test_a_store_with_losses_is_repacked(run: Store) -> None:
    flip(run, w_at(2))
    Store.repair(run.path, execute=True)
    run.repack()
    run.gc()
    losses = {step: {"model/w"} for step in (2, 3, 4)}
    check_mended(run.path, losses)
    run.commit(state(2), step=20, branch="again")
    for step in STEPS:
        loads(run, step)


def test_a_mended_store_is_repacked_around_what_it_lost(run: Store) -> None:
    flip(run, w_at(2))
    Store.repair(run.path, execute=True)
    losses = {step: {"model/w"} for step in (2, 3, 4)}
    with Store(run.path) as store:
        store.repack(recompress=True)
        store.delete("step:1")
        store.gc(min_dead=0.01)
    for step in (2, 3, 4):
        loads(run, step, losses[step])
    run.commit(state(2), step=5)
    loads(run, 2)
    assert run.load("step:3", select="model/w")["model"]["w"].tobytes() == w_at(3).tobytes(), "healed with its base"
    assert run.verify(data=True).ok


def test_a_gc_takes_the_damaged_pack_meanwhile(run: Store) -> None:
    """It is nobody's concern any more, whatever is wrong with it."""
    plain = noise(77, 50_000)
    run.commit({"only": plain}, branch="short")
    place, path = place_of(run, plain), flip(run, plain)
    run.delete_branch("short")
    disk = Overtaken(path, place.offset + place.stored_length - 5, run.gc)
    assert repair(run.path, execute=True, disk=disk).ok
    assert not path.exists()
    check_mended(run.path, {})


@pytest.mark.parametrize("garbage_is_damaged", [False, True])
def test_a_gc_at_any_moment_loses_nothing(run: Store, tmp_path: Path, garbage_is_damaged: bool) -> None:
    """What a gc of another process takes away meanwhile is collected, and not lost, damaged or not."""
    plain = noise(77, 50_000)
    run.commit({"only": plain, "small": noise(78, 100)}, branch="short")
    run.commit({"only": noise(79, 50_000)}, branch="short")
    if garbage_is_damaged:
        flip(run, plain)
    run.close()

    def repaired(number: int) -> Meanwhile:
        copy, needed = tmp_path / f"copy-{number}", set()
        shutil.copytree(run.path, copy)

        def collected() -> None:
            with Store(copy) as other:
                # Declared while a commit still needed them.
                needed.update(lost_chunks(other))
                if "short" in other.branches():
                    other.delete_branch("short")
                other.gc()

        disk = Meanwhile(number, collected)
        plan = repair(str(copy), execute=True, disk=disk)
        if number:
            assert not any(a.commit in kept for problem in plan.losses for a in problem.affects), number
            with Store(copy) as other:
                assert lost_chunks(other) == needed, number
                assert other.verify(data=True).ok, number
            assert Store.repair(copy).empty, number
        shutil.rmtree(copy)
        return disk

    with Store(run.path) as store:
        kept = {commit.id for commit in store.log("main")}
    calls = repaired(0).calls
    for number in range(1, calls, max(1, calls // 60)):
        repaired(number)
