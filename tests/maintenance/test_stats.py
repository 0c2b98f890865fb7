"""The savings report."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltackpt import Store


def run(step: int) -> dict[str, Any]:
    rng = np.random.default_rng(step)
    moving = np.linspace(-1, 1, 200_000, dtype=np.float32) + np.float32(step * 1e-6)
    return {
        "model": {"moving": moving, "frozen": np.arange(50_000, dtype=np.float32), "small": rng.standard_normal(20)},
        "optimizer": {"noise": rng.integers(0, 256, 100_000, np.uint8), "zeros": np.zeros(100_000)},
        "seen": np.ones(4),
    }


def test_every_part_and_the_whole_add_up(store: Store) -> None:
    for step in range(4):
        store.commit(run(step), step=step)
    stats = store.stats()
    for part in (*stats.parts.values(), stats.total):
        saved = part.dedup_saved + part.delta_saved + part.planes_saved
        assert part.logical_bytes - saved == part.stored_bytes > 0
    assert stats.logical_bytes == sum(commit.logical_bytes for commit in store.log())
    assert stats.logical_bytes - stats.dedup_saved - stats.delta_saved - stats.planes_saved == stats.data_bytes
    model, optimizer = stats.parts["model"], stats.parts["optimizer"]
    assert model.dedup_saved == 3 * 200_000, "the frozen tensor, three times"
    assert model.delta_saved > 1_000_000
    assert optimizer.dedup_saved == 3 * 800_000, "the zeros, three times"
    assert optimizer.planes_saved > 790_000
    assert stats.data_bytes < stats.disk_bytes


def test_progress_hears_of_every_plain_byte(store: Store) -> None:
    for step in range(3):
        store.commit(run(step), step=step)
    heard: list[int] = []
    assert store.stats(progress=heard.append).logical_bytes == sum(heard)
