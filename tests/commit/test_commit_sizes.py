"""What is stored once: equal weights from anywhere, rows of a table that grew, small tensors together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from disks import packs
from safetensors.torch import save_file
from skeleton_round_trip import assert_same

from deltackpt import Store
from deltackpt.chunkstore.pack import read_entries
from deltackpt.fs.disk import Disk
from deltackpt.ids import PackId


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Bits that no encoder can shorten."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-(1 << 31), 1 << 31, shape, generator=generator, dtype=torch.int32).view(torch.float32)


def test_an_unchanged_state_costs_next_to_nothing(store: Store, trained: list[dict[str, Any]]) -> None:
    first = store.commit(trained[0], step=1)
    again = store.commit(trained[0], step=2)
    assert first.stored_bytes > 500_000
    assert again.stored_bytes < 500
    assert again.parts == first.parts


def test_a_part_that_did_not_change_is_shared(store: Store, trained: list[dict[str, Any]]) -> None:
    first = store.commit(trained[0], step=1)
    second = store.commit({**trained[0], "model": trained[1]["model"]}, step=2)
    assert second.part_named("optimizer") == first.part_named("optimizer")
    assert second.part_named("model") != first.part_named("model")


def test_a_step_of_training_costs_less_than_the_state(store: Store, trained: list[dict[str, Any]]) -> None:
    commits = [store.commit(state, step=state["step"]) for state in trained]
    assert all(commit.stored_bytes < 0.85 * commit.logical_bytes for commit in commits)
    assert commits[-1].stored_bytes < 0.75 * commits[-1].logical_bytes


@pytest.mark.parametrize("file_first", [False, True])
def test_a_live_state_and_a_file_share_their_weights(store: Store, tmp_path: Path, file_first: bool) -> None:
    weights = {"emb": noise(3000, 300), "head": noise(300, 3000, seed=1), "bias": noise(3000, seed=2)}
    save_file(weights, tmp_path / "w.safetensors")

    def from_file() -> int:
        return store.commit_path(tmp_path / "w.safetensors", branch="file").stored_bytes

    def from_memory() -> int:
        return store.commit({"model": weights, "step": 1}, branch="live").stored_bytes

    first, second = (from_file(), from_memory()) if file_first else (from_memory(), from_file())
    assert first > 7_200_000
    assert second < 3000


def test_a_vocabulary_that_grows_by_rows_keeps_its_chunks(store: Store) -> None:
    table = noise(9000, 256)
    store.commit({"model": {"emb": table}}, step=1)
    grown = store.commit({"model": {"emb": torch.cat([table, noise(10, 256, seed=9)])}}, step=2)
    # Two full chunks of 4096 rows stay; the last, of 808 rows, is written again with its ten new ones.
    assert 808 * 1024 < grown.stored_bytes < 830 * 1024


def test_a_row_shard_shares_whole_chunks_with_the_whole(store: Store) -> None:
    table = noise(8192, 256)
    store.commit({"model": {"emb": table}}, step=1)
    shard = store.commit({"model": {"emb": table[4096:]}}, step=1, branch="shard")
    assert shard.stored_bytes < 2000


@pytest.mark.parametrize("shape", ["channels_last", "turned", "expanded", "window"])
def test_how_a_tensor_lies_in_memory_does_not_change_its_bytes(store: Store, shape: str) -> None:
    image = noise(8, 16, 64, 64)
    other = {
        "channels_last": lambda: image.to(memory_format=torch.channels_last),
        "turned": lambda: image.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        "expanded": lambda: image,
        "window": lambda: torch.nn.functional.pad(image, (3, 3))[..., 3:-3],
    }[shape]()
    assert torch.equal(other.view(torch.int32), image.view(torch.int32))
    store.commit({"m": {"x": image}}, step=1)
    again = store.commit({"m": {"x": other}}, step=2)
    assert again.stored_bytes < 1500
    assert_same(store.load("main")["m"]["x"].contiguous(), image)


def test_thousands_of_small_tensors_are_a_few_records(store: Store) -> None:
    def optimizer(step: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(step)
        entries = {
            n: {
                "step": torch.tensor(float(step)),
                "exp_avg": torch.rand(200, generator=generator),
                "exp_avg_sq": torch.rand(200, generator=generator),
            }
            for n in range(1000)
        }
        return {"optimizer": {"state": entries}}

    for step in (1, 2):
        store.commit(optimizer(step), step=step)
    entries = [entry for path in packs(store) for entry in read_entries(Disk(), str(path), PackId.from_hex(path.stem))]
    assert sum(len(entry.head.members) for entry in entries) > 2 * 2000
    assert len(entries) < 40
    loaded = store.load("step:1")
    assert_same(loaded, optimizer(1))


def test_a_small_commit_is_one_record_and_no_pack(store: Store) -> None:
    for step in range(5):
        store.commit({"lora": {"a": np.full(100, step, np.float32)}}, step=step)
    assert packs(store) == []
    assert sorted(path.name for path in Path(store.path, "log").glob("*/*")) == [f"{n:016d}.rec" for n in range(1, 6)]


def test_one_tensor_under_two_dtypes_is_two_tensors(store: Store) -> None:
    weight = noise(500, 500)
    store.commit({"m": {"w": weight}}, step=1)
    store.commit({"m": {"w": weight.view(torch.int32)}}, step=2)
    assert store.load("main")["m"]["w"].dtype is torch.int32
    assert store.load("main~1")["m"]["w"].dtype is torch.float32


def test_weights_that_change_after_the_commit_do_not_change_the_store(store: Store) -> None:
    live = {"m": {"w": noise(600, 600), "b": noise(20)}}
    before = {name: tensor.clone() for name, tensor in live["m"].items()}
    store.commit(live, step=1)
    for tensor in live["m"].values():
        tensor.zero_()
    store.commit(live, step=2)
    assert_same(store.load("step:1"), {"m": before})
    assert_same(store.load("step:2"), live)
