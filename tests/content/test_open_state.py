"""A checkpoint's state without a store."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from skeleton_round_trip import assert_same

import deltackpt


def test_a_nested_file(tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    torch.save(trained[0], path := tmp_path / "c.pt")
    assert_same(deltackpt.open_state(path), torch.load(path, weights_only=True))
    assert list(deltackpt.open_state(path, select="model/emb.*")) == ["model"]


def test_a_flat_file_and_a_folder(tmp_path: Path) -> None:
    (folder := tmp_path / "c").mkdir()
    save_file({"w": torch.arange(9.0)}, path := folder / "model.safetensors")
    assert_same(deltackpt.open_state(path), load_file(path))
    assert_same(deltackpt.open_state(folder)["model"], load_file(path))


def test_what_is_shared_in_a_thousand_places_is_not_taken_apart_in_each(tmp_path: Path) -> None:
    shared: dict[str, Any] = {"object": datetime.date(2026, 1, 2)}
    for _ in range(6):
        shared = {str(number): shared for number in range(10)}
    torch.save({**{f"k{number}": shared for number in range(100)}, "w": torch.ones(2)}, path := tmp_path / "c.pt")
    assert path.stat().st_size < 4000
    begin = time.process_time()
    assert deltackpt.open_state(path)["w"].tolist() == [1, 1]
    assert time.process_time() - begin < 20
