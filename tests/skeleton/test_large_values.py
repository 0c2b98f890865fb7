"""Byte strings and texts beyond a size stand in the tensor table: cut, deduplicated and read like tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skeleton_round_trip import assert_same, shelved, through

from deltackpt import Store
from deltackpt.errors import FormatError, LimitError
from deltackpt.skeleton import capture as capturing
from deltackpt.skeleton.capture import capture
from deltackpt.skeleton.refusal import StateLimitError
from deltackpt.skeleton.tags import LARGE_VALUE

LONG = LARGE_VALUE + 1
VALUES: dict[str, Any] = {
    "bytes": bytes(range(256)) * (LONG // 256 + 1),
    "bytearray": bytearray(b"ab" * LONG),
    "ascii": "x" * LONG,
    "text": "aß日" * LONG,
    "surrogates": "\ud800" * LONG,
}


@pytest.mark.parametrize("kind", VALUES)
def test_they_come_back_as_they_were(kind: str) -> None:
    state = {"m": {"v": VALUES[kind], "w": torch.ones(2), "again": [VALUES[kind]]}, "top": VALUES[kind]}
    assert_same(through(state), state)
    assert_same(through(VALUES[kind]), VALUES[kind])
    assert_same(through(state, select="m/v"), {"m": {"v": VALUES[kind]}})


def test_up_to_the_limit_they_are_part_of_the_skeleton() -> None:
    assert shelved({"v": b"x" * LARGE_VALUE}).plain == {}
    shelf = shelved({"m": {"v": b"x" * LONG}})
    assert shelf.names("m") == ["m/v"]
    assert len(shelf.skeletons["m"]) < 100


def test_a_value_met_twice_is_stored_once() -> None:
    value = b"xy" * LONG
    shelf = shelved({"a": [value, value], "b": [value]})
    assert shelf.stored_bytes() == len(value)


def test_keys_and_elements_of_sets_stay_where_they_are() -> None:
    state = {"m": {"k" * LONG: 1, (b"x" * LONG,): 2}, "s": {"e" * LONG}}
    assert_same(through(state), state)


def test_a_text_that_was_damaged() -> None:
    shelf = shelved({"v": "ß" * LONG})
    shelf.plain["", 0] = b"\xff" * len(shelf.plain["", 0])
    with pytest.raises(FormatError, match="not UTF-8"):
        shelf.load()


def test_what_is_too_much_for_one_skeleton_is_refused_by_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capturing, "MAX_SKELETON", 50_000)
    assert capture({"m": [0.5] * 5000})
    with pytest.raises(StateLimitError) as caught:
        capture({"m": [0.5] * 6000})
    assert isinstance(caught.value, LimitError)
    assert str(caught.value).startswith("m: what is no tensor of it takes 54")
    assert str(caught.value).endswith("the limit is 50000; keep long lists of numbers as arrays or tensors")


def test_more_than_a_record_holds_is_stored_in_chunks(store: Store) -> None:
    noise = np.random.default_rng(0).bytes(140 << 20)
    first = store.commit({"blob": noise, "step": 1})
    second = store.commit({"blob": noise, "step": 2})
    assert first.stored_bytes > 140 << 20 > 1 << 20 > second.stored_bytes
    assert store.load("main")["blob"] == noise


def test_they_are_no_tensors_to_a_target_and_bytes_to_a_reader(store: Store) -> None:
    store.commit({"m": {"v": VALUES["bytes"], "w": torch.ones(2)}})
    target = {"v": b"old", "w": torch.zeros(2)}
    assert store.load_into(target, "main", part="m") == ["m/w"]
    assert target["v"] == b"old"
    assert store.reader("main").tensor("m/v")[5:9].tolist() == [5, 6, 7, 8]
    changed = bytearray(VALUES["bytes"])
    changed[7] ^= 1
    store.commit({"m": {"v": bytes(changed), "w": torch.ones(2)}})
    [change] = store.diff("main~1", "main").changed
    assert (change.name, change.change.changed) == ("m/v", 1)
