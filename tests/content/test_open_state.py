"""A checkpoint's state without a store."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from made_again import same
from patience import ends
from pickled_states import STATES, WEIGHT
from safetensors.torch import load_file, save_file
from skeleton_round_trip import assert_same

import deltackpt
from deltackpt import Store

WITHOUT_NESTING = ("a parameter with an attribute", "conjugated", "negated", "meta")
"""States that skeletons have no words for."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", [name for name in STATES if name not in WITHOUT_NESTING])
def test_a_state_of_any_kind_is_what_pytorch_loads(store: Store, tmp_path: Path, name: str, legacy: bool) -> None:
    torch.save(STATES[name], path := tmp_path / "c.pt", _use_new_zipfile_serialization=not legacy)
    store.commit(path)
    theirs = torch.load(path, weights_only=True)
    same(deltackpt.open_state(path), theirs)
    same(store.load("main"), theirs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WITHOUT_NESTING)
def test_what_has_no_words_is_the_tensors_by_name(store: Store, tmp_path: Path, name: str) -> None:
    """In a dict that is so of the one item, and the others are as they were."""
    torch.save({"good": [1, WEIGHT], "odd": STATES[name]}, path := tmp_path / "c.pt")
    store.commit(path)
    for found in (deltackpt.open_state(path), store.load("main")):
        assert_same(found.pop("good"), [1, WEIGHT])
        odd = found.pop("odd", {})
        for item in odd if isinstance(odd, list) else [odd]:
            assert all(isinstance(tensor, torch.Tensor) for tensor in item.values())
        assert not found


def test_a_nested_file(tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    torch.save(trained[0], path := tmp_path / "c.pt")
    assert_same(deltackpt.open_state(path), torch.load(path, weights_only=True))
    assert list(deltackpt.open_state(path, select="model/emb.*")) == ["model"]


def test_a_flat_file_and_a_folder(tmp_path: Path) -> None:
    (folder := tmp_path / "c").mkdir()
    save_file({"w": torch.arange(9.0)}, path := folder / "model.safetensors")
    assert_same(deltackpt.open_state(path), load_file(path))
    assert_same(deltackpt.open_state(folder)["model"], load_file(path))


@ends
def test_what_is_shared_in_a_thousand_places_is_not_taken_apart_in_each(tmp_path: Path) -> None:
    shared: dict[str, Any] = {"object": datetime.date(2026, 1, 2)}
    for _ in range(6):
        shared = {str(number): shared for number in range(10)}
    torch.save({**{f"k{number}": shared for number in range(100)}, "w": torch.ones(2)}, path := tmp_path / "c.pt")
    assert path.stat().st_size < 4000
    assert deltackpt.open_state(path)["w"].tolist() == [1, 1]
