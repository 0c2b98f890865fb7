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


ARRAYS = {
    "texts": np.array([f"n{number:04}" for number in range(300)]).reshape(100, 3),
    "bytes": np.array([b"ab", b"c"] * 300),
    "dates": np.array(["2026-01-02", "NaT"] * 200, "M8[D]"),
    "spans": np.arange(500).astype("m8[ms]"),
    "big-endian": np.arange(600, dtype=">i4").reshape(100, 6),
    "big-endian texts": np.array(["xy", "z"] * 100, ">U2"),
    "records": np.array([(number, number / 2) for number in range(100)], [("i", "i4"), ("f", ">f8")]),
    "halves": np.arange(900, dtype=np.float16),
    "truths": np.arange(900) % 3 == 0,
    "scalar": np.array(2.5, ">f4"),
    "empty": np.zeros((0, 4), "U3"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_with_their_own_type(store: Store, name: str) -> None:
    array = ARRAYS[name]
    store.commit({"m": {"a": array, "part": array[1:] if array.ndim else array}}, step=1)
    lazy = store.reader("main").tensor("m/a")
    assert (lazy.dtype, lazy.shape, lazy.nbytes) == (array.dtype, array.shape, array.nbytes)
    for found in (lazy[...], lazy.numpy(), np.asarray(lazy)):
        assert_same(found, array)
    if array.ndim:
        assert len(lazy) == len(array)
        assert_same(lazy[2:7], array[2:7])
        assert_same(store.reader("main").tensor("m/part")[...], array[1:])
    if len(array.shape) == 1:
        assert lazy[3] == array[3] or np.isnat(array[3])
        assert type(lazy[np.int64(3)]) is type(array[3])


def test_a_lazy_tensor_is_an_array_to_numpy(store: Store) -> None:
    weight = torch.arange(6.0).reshape(3, 2)
    store.commit({"w": weight, "x": torch.tensor(1.5)}, step=1)
    lazy = store.reader("main").tensor("w")
    assert np.asarray(lazy).tolist() == weight.tolist()
    assert np.asarray(lazy, dtype=np.int64).dtype == np.int64
    assert np.array(lazy).flags.writeable
    assert float(np.sum(lazy)) == 15
    assert [row.tolist() for row in lazy] == weight.tolist()
    with pytest.raises(TypeError, match="has no length"):
        len(store.reader("main").tensor("x"))


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "complex32", "bool", "uint16", "float4_e2m1fn_x2"])
def test_every_torch_type_has_an_array(store: Store, name: str) -> None:
    dtype = getattr(torch, name)
    raw = torch.arange(8 * dtype.itemsize, dtype=torch.uint8) % 2
    store.commit({"w": raw.view(dtype)}, step=1)
    assert store.reader("main").tensor("w").numpy().tobytes() == raw.numpy().tobytes()
