"""Loading gives back what was committed: type for type, bit for bit, tied where it was tied."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from disks import damage, packs
from skeleton_round_trip import assert_same
from training import STEPS, Model

from deltackpt import CorruptError, InvalidInputError, NotFoundError, Store

TORCH_DTYPES = sorted({d for d in vars(torch).values() if isinstance(d, torch.dtype)}, key=str)
PLAIN_DTYPES = [d for d in TORCH_DTYPES if not str(d).startswith(("torch.q", "torch.bits", "torch.int", "torch.uint"))]
WHOLE_DTYPES = [torch.int8, torch.int16, torch.int32, torch.int64]
WHOLE_DTYPES += [torch.uint8, torch.uint16, torch.uint32, torch.uint64]


def pattern(dtype: torch.dtype, elements: int, start: int = 0) -> torch.Tensor:
    """``elements`` elements of ``dtype`` whose bits count up, so that every bit pattern of small types occurs."""
    size = dtype.itemsize
    if dtype is torch.bool:
        return torch.arange(start, start + elements) % 3 == 0
    bits = torch.arange(start, start + elements * size // min(size, 2), dtype=torch.int32)
    narrow = bits.to(torch.uint8) if size == 1 else bits.to(torch.int16)
    return narrow.view(dtype)


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("dtype", [*PLAIN_DTYPES, *WHOLE_DTYPES], ids=str)
def test_every_element_type_keeps_every_bit(store: Store, dtype: torch.dtype) -> None:
    state = {"model": {"large": pattern(dtype, 70_000), "small": pattern(dtype, 5), "empty": pattern(dtype, 0)}}
    store.commit(state, step=1)
    again = {"model": {**state["model"], "large": pattern(dtype, 70_000, start=1)}}
    store.commit(again, step=2)
    assert_same(store.load("step:1"), state)
    assert_same(store.load("step:2"), again)


def test_each_step_of_a_training_run_comes_back(store: Store, trained: list[dict[str, Any]]) -> None:
    for step, state in zip(STEPS, trained, strict=True):
        store.commit(state, step=step)
    for step, state in zip(STEPS, trained, strict=True):
        loaded = store.load(f"step:{step}")
        assert_same(loaded, state)
        assert loaded["model"]["emb.weight"].data_ptr() == loaded["model"]["head.weight"].data_ptr()


def test_a_loaded_state_goes_back_into_model_and_optimizer(store: Store, trained: list[dict[str, Any]]) -> None:
    store.commit(trained[-1], step=40)
    state = store.load("main")
    model = Model()
    model.load_state_dict(state["model"], strict=True)
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.load_state_dict(state["optimizer"])
    assert_same(model.state_dict(), trained[-1]["model"])
    assert_same(optimizer.state_dict(), trained[-1]["optimizer"])


def test_tied_tensors_are_stored_once_and_come_back_tied(store: Store) -> None:
    weight = torch.linspace(-1, 1, 500_000).reshape(1000, 500)
    commit = store.commit({"model": {"emb": weight, "head": weight}}, step=1)
    assert commit.logical_bytes == 2_000_000
    loaded = store.load("main")["model"]
    assert loaded["emb"].data_ptr() == loaded["head"].data_ptr()
    loaded["emb"][0, 0] = 7.0
    assert loaded["head"][0, 0] == 7.0


def test_views_of_one_storage_come_back_as_views_of_one_storage(store: Store) -> None:
    flat = torch.arange(300_000, dtype=torch.float32)
    views = {"first": flat[:1000].view(10, 100), "tail": flat[250_000:], "turned": flat[:6].view(2, 3).t()}
    state = {"flat": {"all": flat, **views}}
    commit = store.commit(state, step=1)
    assert commit.logical_bytes == 1_200_000
    loaded = store.load("main")
    assert_same(loaded, state)
    loaded["flat"]["all"][1] = -5.0
    assert loaded["flat"]["first"][0, 1] == -5.0
    assert loaded["flat"]["turned"][1, 0] == -5.0
    assert len({tensor.untyped_storage().data_ptr() for tensor in loaded["flat"].values()}) == 1


def test_strides_come_back(store: Store) -> None:
    image = torch.rand(4, 3, 60, 60).to(memory_format=torch.channels_last)
    turned = torch.rand(300, 200).t()
    expanded = torch.rand(1, 400).expand(50, 400)
    store.commit({"m": {"image": image, "turned": turned, "expanded": expanded}}, step=1)
    loaded = store.load("main")["m"]
    assert loaded["image"].is_contiguous(memory_format=torch.channels_last)
    assert loaded["turned"].stride() == (1, 200)
    assert loaded["expanded"].stride() == (0, 1)
    assert torch.equal(loaded["image"], image)
    assert torch.equal(loaded["turned"], turned)
    assert torch.equal(loaded["expanded"], expanded)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_everything_else_that_a_state_holds_comes_back_type_for_type(store: Store) -> None:
    counts: defaultdict[str, list[int]] = defaultdict(list, {"a": [1]})
    state = {
        "plain": [True, 1, 1 << 200, -0.0, float("nan"), float("-inf"), 1 + 2j, None, "text", b"bytes"],
        "nested": OrderedDict([(1, (2, {3})), ((4, "five"), [])]),
        "counts": counts,
        "arrays": {"numpy": np.arange(12, dtype=">f4").reshape(3, 4), "scalar": np.float32(1.5)},
        "torch": {"size": torch.Size([2, 3]), "dtype": torch.bfloat16, "device": torch.device("cpu")},
        "parameter": {"w": torch.nn.Parameter(torch.ones(3)), "frozen": torch.nn.Parameter(torch.ones(3), False)},
        "sparse": {"coo": torch.eye(4).to_sparse(), "csr": torch.eye(4).to_sparse_csr()},
    }
    store.commit(state, step=1)
    assert_same(store.load("main"), state)


def test_a_bare_tensor_is_a_state(store: Store) -> None:
    store.commit(torch.arange(5), step=1)
    assert_same(store.load("main"), torch.arange(5))


def test_metadata_of_a_state_dict_comes_back(store: Store) -> None:
    state = torch.nn.BatchNorm1d(3).state_dict()
    store.commit({"model": state}, step=1)
    assert store.load("main", part="model")._metadata == state._metadata == OrderedDict({"": {"version": 2}})


def test_select_keeps_what_matches(store: Store, trained: list[dict[str, Any]]) -> None:
    store.commit(trained[0], step=10)
    loaded = store.load("latest", select="model/*", device="cpu")
    assert list(loaded) == ["model"]
    assert_same(loaded["model"], trained[0]["model"])
    only = store.load("latest", select="*/exp_avg")
    assert list(only) == ["optimizer"]
    assert all(list(entry) == ["exp_avg"] for entry in only["optimizer"]["state"].values())


def test_select_that_matches_nothing_lists_near_names(store: Store, trained: list[dict[str, Any]]) -> None:
    store.commit(trained[0], step=10)
    with pytest.raises(NotFoundError) as caught:
        store.load("main", select="model/emb.wieght")
    assert str(caught.value).startswith("nothing matches 'model/emb.wieght'; near matches: model/emb.weight")


def test_part_gives_the_part_itself(store: Store, trained: list[dict[str, Any]]) -> None:
    store.commit(trained[0], step=10)
    assert_same(store.load("main", part="scheduler"), trained[0]["scheduler"])


def test_a_part_that_is_not_there_is_answered_with_those_that_are(store: Store, trained: list[dict[str, Any]]) -> None:
    commit = store.commit(trained[0], step=10)
    with pytest.raises(NotFoundError) as caught:
        store.load("main", part="modle")
    known = "'model', 'optimizer', 'scheduler', 'rng'"
    assert str(caught.value) == f"commit {commit.id.short} (step 10) has no part 'modle'; it has {known}"


def test_device_moves_tensors_and_keeps_ties(store: Store, trained: list[dict[str, Any]]) -> None:
    store.commit(trained[0], step=10)
    loaded = store.load("main", part="model", device="meta")
    assert {tensor.device.type for tensor in loaded.values()} == {"meta"}


def test_a_damaged_chunk_is_never_handed_out(store: Store, trained: list[dict[str, Any]]) -> None:
    store.commit(trained[0], step=10)
    damage(packs(store)[0], 5000)
    fresh = Store(store.path)
    with pytest.raises(CorruptError, match=r"^tensor 'model/\S+': .*run `deltackpt verify`$"):
        fresh.load("main")


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", 99, object()])
def test_a_device_that_is_not_there(store: Store, device: Any) -> None:
    store.commit({"w": torch.ones(2)})
    with pytest.raises(InvalidInputError) as caught:
        store.load("main", device=device)
    assert str(caught.value).startswith(f"device {device!r} cannot be used: ")
    assert "\n" not in str(caught.value)


def test_a_pattern_is_text(store: Store) -> None:
    store.commit({"w": torch.ones(2)})
    with pytest.raises(InvalidInputError, match=r"^select is a pattern such as 'model/\*', not 5$"):
        store.load("main", select=5)  # type: ignore[arg-type]


def test_progress_hears_of_every_byte(store: Store) -> None:
    state = {"w": torch.ones(2_000_000), "v": torch.ones(3)}
    heard: list[int] = []
    store.commit(state, progress=heard.append)
    assert sum(heard) == 8_000_012
    loaded: list[int] = []
    store.load("main", progress=loaded.append)
    assert sum(loaded) == 8_000_000, "what stands in the manifest needs no reading"
    copied: list[int] = []
    store.load_into({name: torch.zeros_like(tensor) for name, tensor in state.items()}, "main", progress=copied.append)
    assert sum(copied) == 8_000_012
