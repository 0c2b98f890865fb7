"""The reader: one tensor, or rows of one, for the price of the chunks that hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from disks import CountingDisk, opened
from skeleton_round_trip import assert_same

from deltackpt import NotFoundError, Store

ROWS, WIDTH = 20_000, 256
CHUNK = 4 << 20


def noise(*shape: int) -> torch.Tensor:
    """Bits that no encoder can shorten, so that bytes read can be told from bytes stored."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(-(1 << 31), 1 << 31, shape, generator=generator, dtype=torch.int32)


def test_rows_cost_the_chunks_that_hold_them(store: Store) -> None:
    table = noise(ROWS, WIDTH)
    store.commit({"model": {"emb.weight": table, "other": noise(ROWS, WIDTH).roll(1)}}, step=1)
    disk = CountingDisk()
    with opened(store.path, disk).reader("main") as reader:
        assert torch.equal(reader.tensor("model/emb.weight")[100:200], table[100:200])
    # 4096 rows of 1 KiB make a chunk, and rows 100 to 200 lie in the first.
    assert CHUNK <= disk.from_packs <= CHUNK + 4096


def test_a_window_on_a_shared_storage_costs_its_chunks_too(store: Store) -> None:
    flat = noise(5_000_000)
    store.commit({"m": {"flat": flat, "tail": flat[4_999_000:].view(10, 100)}}, step=1)
    disk = CountingDisk()
    with opened(store.path, disk).reader("main") as reader:
        assert torch.equal(reader.tensor("m/tail")[...], flat[4_999_000:].view(10, 100))
    assert disk.from_packs <= 2 * CHUNK


def test_keys_and_facts_cost_no_data(store: Store) -> None:
    store.commit({"model": {"emb.weight": noise(ROWS, WIDTH)}, "step": 3}, step=1)
    disk = CountingDisk()
    reader = opened(store.path, disk).reader("main")
    assert reader.keys() == list(reader) == ["model/emb.weight"]
    tensor = reader.tensor("model/emb.weight")
    assert (tensor.name, str(tensor.dtype), tensor.shape) == ("model/emb.weight", "int32", (ROWS, WIDTH))
    assert tensor.nbytes == ROWS * WIDTH * 4
    assert disk.from_packs < 4096


@pytest.mark.parametrize(
    "index", [..., 5, -1, slice(3, 9), slice(None, None, 7), slice(9, 3, -2), slice(4, 4), (2, 3), (slice(1, 5), 0)]
)
def test_indexing_means_what_it_means_to_the_tensor(store: Store, index: Any) -> None:
    if isinstance(index, slice) and (index.step or 1) < 0:
        array = np.arange(40 * 30).reshape(40, 30)
        store.commit({"t": array}, step=1)
        assert_same(store.reader("main").tensor("t")[index], array[index])
    else:
        tensor = torch.arange(40.0 * 30).reshape(40, 30)
        store.commit({"t": tensor}, step=1)
        assert torch.equal(store.reader("main").tensor("t")[index], tensor[index])


def test_a_row_that_is_not_there(store: Store) -> None:
    store.commit({"t": torch.ones(3, 2)}, step=1)
    with pytest.raises(IndexError, match=r"^row 3 of 't', which has 3$"):
        store.reader("main").tensor("t")[3]


def test_scalars_and_empty_tensors(store: Store) -> None:
    store.commit({"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4), "hollow": torch.zeros(4, 0)}, step=1)
    reader = store.reader("main")
    assert_same(reader.tensor("scalar")[...], torch.tensor(2.5))
    assert reader.tensor("empty")[...].shape == (0, 4)
    assert reader.tensor("hollow")[1:3].shape == (2, 0)


def test_every_tied_name_can_be_read(store: Store, trained: list[dict[str, Any]]) -> None:
    store.commit(trained[0], step=10)
    reader = store.reader("main")
    assert torch.equal(reader.tensor("model/head.weight")[...], trained[0]["model"]["emb.weight"])


def test_numpy_needs_no_torch_types(store: Store) -> None:
    weight = torch.linspace(-1, 1, 100).bfloat16()
    store.commit({"w": weight}, step=1)
    array = store.reader("main").tensor("w").numpy()
    assert array.dtype.name == "bfloat16"
    assert array.astype(np.float32).tolist() == weight.float().tolist()


def test_a_name_that_is_not_there_is_answered_with_near_ones(store: Store, trained: list[dict[str, Any]]) -> None:
    commit = store.commit(trained[0], step=10)
    with pytest.raises(NotFoundError) as caught:
        store.reader("main").tensor("model/emb.weigth")
    expected = f"commit {commit.id.short} (step 10) has no tensor 'model/emb.weigth'; did you mean 'model/emb.weight'"
    assert str(caught.value).startswith(expected)
