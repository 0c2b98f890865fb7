"""What was tied comes back tied, within a part and across parts, and is stored once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skeleton_round_trip import assert_same, shelved, through


def same_storage(*tensors: torch.Tensor) -> bool:
    return len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 1


def test_the_same_object_comes_back_as_the_same_object() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    array = np.arange(3)
    state = {
        "m": {"a": weight, "b": weight, "list": [weight]},
        "n": {"c": weight, "x": array, "y": array},
        "top": weight,
    }
    shelf = shelved(state)
    back = shelf.load()
    assert back["m"]["a"] is back["m"]["b"] is back["m"]["list"][0] is back["n"]["c"] is back["top"]
    assert back["n"]["x"] is back["n"]["y"]
    assert shelf.stored_bytes() == 12 + 24


def test_two_tensors_on_one_memory_stay_two() -> None:
    base = torch.ones(3)
    back = through({"a": base, "b": base.detach(), "c": base})
    assert back["a"] is back["c"]
    assert back["a"] is not back["b"]
    assert same_storage(back["a"], back["b"])


def test_a_tied_embedding_is_one_table_entry() -> None:
    embedding = torch.nn.Embedding(5, 4)
    head = torch.nn.Linear(4, 5, bias=False)
    head.weight = embedding.weight
    model = torch.nn.ModuleDict({"emb": embedding, "head": head})
    shelf = shelved({"model": model.state_dict()})
    assert shelf.names("model") == ["model/emb.weight"]
    back = shelf.load()["model"]
    assert same_storage(back["emb.weight"], back["head.weight"])
    assert_same(back, model.state_dict())


def test_a_flat_buffer_keeps_each_tensor_its_own_entry_and_its_offset() -> None:
    flat = torch.arange(100.0)
    state = {"model": {"w": flat[:60].view(6, 10), "b": flat[60:64]}, "optimizer": {"m": flat[64:]}}
    shelf = shelved(state)
    assert shelf.names("model") == ["model/w", "model/b"]
    assert shelf.names("optimizer") == ["optimizer/m"]
    assert shelf.stored_bytes() == 400
    back = shelf.load()
    tensors = back["model"]["w"], back["model"]["b"], back["optimizer"]["m"]
    assert same_storage(*tensors)
    assert [tensor.storage_offset() for tensor in tensors] == [0, 60, 64]
    assert tensors[0].untyped_storage().nbytes() == 400
    assert_same(back, state)


def test_one_part_of_a_flat_buffer_needs_its_own_memory_alone() -> None:
    flat = torch.zeros(100_000)
    shelf = shelved({"model": {"w": flat[:90_000]}, "optimizer": {"m": flat[90_000:]}})
    moment = shelf.load(part="optimizer")["m"]
    assert moment.untyped_storage().nbytes() == 40_000


def test_a_long_hole_between_views_is_closed_and_a_short_one_kept() -> None:
    base = torch.zeros(1_000_000)
    state = [base[:10], base[16:20], base[900_001:]]
    shelf = shelved(state)
    assert shelf.stored_bytes() == 40 + 16 + 4 * 99_999
    back = shelf.load()
    assert same_storage(*back)
    assert [t.storage_offset() for t in back[:2]] == [0, 16]
    assert back[0].untyped_storage().nbytes() < 4 * 100_100
    assert_same(back, state)


def test_a_view_that_covers_the_others_owns_the_bytes() -> None:
    base = torch.arange(12.0).view(3, 4)
    shelf = shelved({"row": base[1], "column": base[:, 2], "whole": base, "turned": base.t(), "flat": base.view(12)})
    assert shelf.names("") == ["whole"]
    back = shelf.load()
    assert same_storage(*back.values())
    back["whole"][1, 2] = -1
    assert back["row"][2] == back["column"][1] == back["turned"][2, 1] == back["flat"][6] == -1


def test_views_that_nobody_covers_are_kept_as_the_memory_between_them() -> None:
    base = torch.arange(10.0)
    shelf = shelved({"head": base[1:6], "tail": base[4:9]})
    assert shelf.names("") == ["head/storage"]
    assert shelf.tables[""][0].shape == (8,)
    assert shelf.tables[""][0].dtype.name == "float32"
    back = shelf.load()
    back["head"][3] = -1
    assert back["tail"][0] == -1
    assert back["tail"].tolist()[1:] == [5.0, 6.0, 7.0, 8.0]
    assert back["head"].storage_offset() == 1


def test_interleaved_columns_share_their_memory() -> None:
    queries, keys, values = torch.arange(24.0).view(4, 6).chunk(3, dim=1)
    back = through({"q": queries, "k": keys, "v": values})
    assert_same(back, {"q": queries, "k": keys, "v": values})
    assert same_storage(*back.values())


def test_columns_far_apart_are_stored_apart() -> None:
    base = torch.arange(4_000_000.0).view(2000, 2000)
    shelf = shelved({"a": base[:, 0], "b": base[:, 1], "c": base[:, 0]})
    assert shelf.stored_bytes() == 16_000
    back = shelf.load()
    assert torch.equal(back["a"], base[:, 0])
    assert torch.equal(back["b"], base[:, 1])
    assert back["a"].data_ptr() == back["c"].data_ptr()


def test_memory_that_no_view_touches_is_not_stored() -> None:
    base = torch.full((4, 8), 7.0)
    shelf = shelved({"a": base[:, 0:2], "b": base[:, 1:3]})
    (memory,) = shelf.plain.values()
    assert np.frombuffer(memory, np.float32)[:10].tolist() == [7.0, 7.0, 7.0, 0, 0, 0, 0, 0, 7.0, 7.0]


def test_views_of_other_types_share_too() -> None:
    base = torch.arange(8, dtype=torch.int32)
    state = {"ints": base, "bytes": base.view(torch.uint8)[3:9], "halves": base.view(torch.float16)}
    back = through(state)
    assert_same(back, state)
    back["ints"][0] = -1
    assert back["bytes"][0] == 255
    odd = {"bytes": base.view(torch.uint8)[1:7], "ints": base[1:3]}
    assert_same(through(odd), odd)
    assert same_storage(*through(odd).values())


def test_one_part_alone_fetches_what_another_part_owns() -> None:
    weight = torch.arange(6.0).view(2, 3)
    shelf = shelved({"model": {"w": weight, "x": torch.ones(2)}, "ema": {"w": weight, "row": weight[1]}})
    assert shelf.names("ema") == []
    back = shelf.load(part="ema")
    assert torch.equal(back["w"], weight)
    assert torch.equal(back["row"], weight[1])
    assert same_storage(back["w"], back["row"])


def test_a_part_met_first_may_be_a_window_on_a_later_one() -> None:
    flat = torch.arange(6.0)
    shelf = shelved({"model": {"w": flat[2:4]}, "optimizer": {"flat": flat}})
    assert shelf.names("model") == []
    assert shelf.load(part="model")["w"].tolist() == [2.0, 3.0]
    both = shelf.load()
    both["optimizer"]["flat"][2] = 9
    assert both["model"]["w"][0] == 9


def test_a_dict_that_stands_in_two_parts() -> None:
    weights = {"w": torch.ones(3)}
    shelf = shelved({"model": weights, "best": weights})
    assert shelf.stored_bytes() == 12
    back = shelf.load()
    assert back["model"]["w"] is back["best"]["w"]


def test_channels_last_weights_in_one_flat_buffer() -> None:
    flat = torch.arange(2 * 72.0)
    weights = [flat[i * 72 : i * 72 + 72].view(2, 3, 3, 4).permute(0, 3, 1, 2) for i in range(2)]
    back = through({"a": weights[0], "b": weights[1]})
    assert_same(back, {"a": weights[0], "b": weights[1]})
    assert same_storage(*back.values())
    assert back["b"].storage_offset() == 72


def test_views_on_another_device_stay_views() -> None:
    base = torch.ones(4)
    back = shelved({"a": base, "b": base[1:]}).load(device="cpu")
    back["a"][1] = 5
    assert back["b"][0] == 5


def test_empty_tensors_of_one_storage_do_not_disturb() -> None:
    base = torch.arange(4.0)
    state = {"none": base[:0], "all": base, "again": base[4:], "part": base[2:]}
    assert_same(through(state), state)


def test_numpy_views_of_one_base_come_back_as_such() -> None:
    base = np.arange(12.0).reshape(3, 4)
    state: dict[str, Any] = {"base": base, "row": base[1], "back": base[::-1], "turned": base.T}
    shelf = shelved(state)
    assert shelf.names("") == ["base"]
    back = shelf.load()
    assert_same(back, state)
    back["base"][1, 0] = -1
    assert back["row"][0] == back["back"][1, 0] == back["turned"][0, 1] == -1


def test_the_name_of_shared_memory_gives_way() -> None:
    base = torch.arange(10.0)
    shelf = shelved({"a": base[:6], "b": base[4:], "a/storage": torch.ones(1)})
    assert sorted(shelf.names("")) == ["a/storage", "a/storage'"]
