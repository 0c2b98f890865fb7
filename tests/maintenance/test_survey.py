"""A survey that is put by between two gcs: what it says, and that it keeps nothing alive."""

from __future__ import annotations

import gc
import shutil
import weakref
from pathlib import Path

import msgspec
import numpy as np
from disks import damage, log_file, packs

from deltackpt import Store
from deltackpt.chunkstore.log_record import encode
from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.survey import Survey, take_survey

Places = dict[ChunkId, tuple[PackId, int]]


def places(survey: Survey) -> Places:
    survey.advance()
    return {chunk: (place.pack, place.entry.offset) for chunk, place in survey.in_use.items()}


def put_by(store: Store) -> Places:
    """What the next gc of this very object would go by."""
    return places(take_survey(store._repository.chunks))


def anew(store: Store) -> Places:
    return places(Survey(store._repository.chunks))


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, 400_000, dtype=np.uint8)


def test_the_next_gc_goes_on_from_it(store: Store) -> None:
    store.commit({"w": noise(1)}, step=1)
    store.gc()
    first = take_survey(store._repository.chunks)
    before = first.position
    first.put_by()
    store.commit({"w": noise(2)}, step=2)
    second = take_survey(store._repository.chunks)
    assert second is first
    assert second.position == before
    assert places(second) == anew(store)
    assert take_survey(store._repository.chunks) is not second, "it is one caller's alone"


def test_it_goes_with_its_store(tmp_path: Path) -> None:
    store = Store.init(tmp_path / "s", reserve=0)
    store.commit({"w": noise(1)}, step=1)
    store.gc()
    store.close()
    chunks = weakref.ref(store._repository.chunks)
    del store
    gc.collect()
    assert chunks() is None


def test_a_repair_has_changed_the_past(store: Store) -> None:
    """A record that was damaged has a substitute, in which what it carried stands elsewhere."""
    store.commit({"b": b"some bytes that travel within the record"}, step=1)
    store.commit({"w": noise(2)}, step=2)
    store.gc()
    damage(log_file(store, 1), 60)
    shutil.rmtree(store.index_path)
    Store.repair(store.path, execute=True)
    with Store(store.path) as fresh:
        assert fresh.verify(data=True).ok
        assert put_by(store) == anew(fresh)


def test_a_repair_has_put_a_record_where_one_was_missing(store: Store) -> None:
    """What the record brought by itself is gone with it; who still knows that must ask again."""
    store.commit({"b": b"some bytes that travel within the record"}, step=1)
    store.commit({"w": noise(2)}, step=2)
    store.gc()
    log_file(store, 1).unlink()
    shutil.rmtree(store.index_path)
    Store.repair(store.path, execute=True)
    with Store(store.path) as fresh:
        assert put_by(store) == anew(fresh)
    assert Store.repair(store.path).empty


def test_a_pack_that_two_records_name(store: Store) -> None:
    """A network file system may lose the answer, and have the record twice. A gc takes nothing of it for garbage."""
    store.commit({"w": noise(1)}, step=1)
    (pack,) = packs(store)
    log = store._repository.chunks.log
    (first,) = log.after(log.start)
    second = msgspec.structs.replace(first.record, write_id=bytes(16))
    log_file(store, 1).with_name(f"{2:016d}.rec").write_bytes(encode(2, second))
    store.gc()
    assert pack.exists()
    assert store.verify(data=True).ok
    assert np.array_equal(store.load("step:1")["w"], noise(1))
