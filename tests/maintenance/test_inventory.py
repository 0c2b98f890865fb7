"""What a commit holds, tensor by tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from deltackpt import Store
from deltackpt.codec.recipes import RECIPES, Recipe
from deltackpt.history.repository import Options, Repository
from deltackpt.maintenance.inventory import InventoryRow, Kept


def rows(store: Store, ref: str) -> dict[str, InventoryRow]:
    return {row.name: row for row in store.inventory(ref)}


def records_behind(store: Store, ref: str) -> float:
    """Bytes of the records that hold the tensors of a commit, in proportion to how much of each is theirs."""
    repository = Repository(store.path, Options(), lambda done, total: None)
    commit = repository.resolve(ref)
    tensors = [tensor for part in commit.parts for tensor in repository.manifests.part(part.id).tensors]
    places = repository.reader.locate({chunk for tensor in tensors for chunk in tensor.chunks})
    mine = {chunk: places[chunk] for tensor in tensors for chunk in tensor.chunks}
    share = sum(
        place.stored_length * place.plain_length / repository.reader._record(chunk, place)[0].plain_length
        for chunk, place in mine.items()
    )
    return share + sum(len(tensor.inline or b"") for tensor in tensors)


def test_rows_add_up_to_the_records_behind_them(store: Store, trained: list[dict[str, Any]]) -> None:
    for number, state in enumerate(trained):
        store.commit(state, step=number)
        listed = store.inventory("main")
        assert sum(row.stored_bytes for row in listed) == pytest.approx(records_behind(store, "main"), abs=len(listed))
        assert sum(row.plain_bytes for row in listed if row.tied_to is None) == store.resolve("main").logical_bytes


def test_a_first_commit_is_whole_and_the_next_are_deltas_or_shared(store: Store) -> None:
    rng = np.random.default_rng(1)
    moving, frozen = (rng.standard_normal((512, 512)).astype(np.float32) for _ in range(2))
    store.commit({"moving": moving, "frozen": frozen, "scalar": np.ones(1)})
    first = rows(store, "main")
    assert [first[name].kept for name in first] == [Kept.WHOLE, Kept.WHOLE, Kept.INLINE]
    assert (first["scalar"].stored_bytes, first["scalar"].shape, first["moving"].rank) == (8, (1,), 0)

    store.commit({"moving": moving + np.float32(1e-6), "frozen": frozen, "scalar": np.ones(1)})
    second = rows(store, "main")
    assert [second[name].kept for name in second] == [Kept.DELTA, Kept.SHARED, Kept.INLINE]
    assert second["frozen"].stored_bytes == first["frozen"].stored_bytes
    assert second["moving"].stored_bytes < first["moving"].stored_bytes
    assert second["moving"].rank == 1
    deltas = {recipe.name.lower().replace("_", " ") for recipe in Recipe if RECIPES[recipe].needs_base}
    assert set(second["moving"].recipes) <= deltas


def test_a_tensor_of_several_chunks_sums_up(store: Store) -> None:
    plain = np.random.default_rng(2).standard_normal((4096, 1024)).astype(np.float32)
    store.commit({"w": plain})
    plain = plain.copy()
    plain[:8] += np.float32(1e-6)
    store.commit({"w": plain})
    (row,) = store.inventory("main")
    assert row.kept is Kept.MIXED
    assert row.chunks == {Kept.DELTA: 1, Kept.SHARED: 3}
    assert sum(row.recipes.values()) == 4


def test_small_tensors_share_the_bytes_of_their_bundle(store: Store) -> None:
    rng = np.random.default_rng(3)
    store.commit({name: rng.integers(0, 256, size, np.uint8) for name, size in (("a", 1000), ("b", 3000), ("c", 1000))})
    found = rows(store, "main")
    assert found["b"].stored_bytes == pytest.approx(3 * found["a"].stored_bytes, abs=3)
    assert found["c"].stored_bytes == found["a"].stored_bytes


def test_a_small_tensor_of_an_older_bundle_pays_for_itself_alone(store: Store) -> None:
    rng = np.random.default_rng(3)
    first = {name: rng.integers(0, 256, 1000, np.uint8) for name in "abcdefgh"}
    store.commit(first)
    before = rows(store, "main")["a"].stored_bytes
    store.commit({"a": first["a"], "new": rng.integers(0, 256, 1000, np.uint8)})
    assert rows(store, "main")["a"].stored_bytes == before < 1100
    stats = store.stats()
    assert stats.parts[""].unique_bytes == 9000
    assert 9000 < stats.data_bytes < 10_000


def test_views_are_told_from_ties(store: Store) -> None:
    flat = torch.randn(3000)
    store.commit({"m": {"a": flat[:1000], "flat": flat, "same": flat, "same a": flat[:1000]}})
    found = rows(store, "main")
    assert {name: (row.kept, row.view_of, row.tied_to) for name, row in found.items()} == {
        "m/a": (Kept.VIEW, "m/flat", None),
        "m/flat": (Kept.WHOLE, None, None),
        "m/same": (Kept.TIED, None, "m/flat"),
        "m/same a": (Kept.TIED, None, "m/a"),
    }
    assert [row.stored_bytes > 0 for row in found.values()] == [False, True, False, False]


def test_views_of_memory_without_a_name_share_it(store: Store) -> None:
    memory = torch.randn(3000)
    store.commit({"m": {"a": memory[:2000], "b": memory[1000:]}})
    found = rows(store, "main")
    assert [row.kept for row in found.values()] == [Kept.WHOLE, Kept.WHOLE]
    assert found["m/a"].stored_bytes == found["m/b"].stored_bytes
    assert sum(row.stored_bytes for row in found.values()) == pytest.approx(records_behind(store, "main"), abs=2)
    assert store.resolve("main").logical_bytes == 12_000


def test_equal_tensors_share_evenly_and_tied_ones_cost_nothing(store: Store) -> None:
    weight = torch.arange(300_000, dtype=torch.float32)
    store.commit({"model": {"embedding": weight, "head": weight, "copy": weight.clone()}})
    found = rows(store, "main")
    assert found["model/head"].tied_to == "model/embedding"
    assert (found["model/head"].kept, found["model/head"].stored_bytes) == (Kept.TIED, 0)
    assert found["model/copy"].tied_to is None
    assert found["model/copy"].stored_bytes == found["model/embedding"].stored_bytes


def test_a_first_commit_shares_nothing(store: Store) -> None:
    state = {"w": np.arange(10_000, dtype=np.float32)}
    store.commit(state, step=1)
    store.commit(state, step=2)
    assert rows(store, "main")["w"].kept is Kept.SHARED
    assert rows(store, "step:1")["w"].kept is Kept.WHOLE
