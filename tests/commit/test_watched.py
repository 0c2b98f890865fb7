"""Progress of a commit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from deltackpt import Store


def test_progress_of_a_file_counts_every_byte_of_its_tensors(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"large": np.zeros(3_000_000, np.float32), "small": np.ones(500), "inline": np.ones(2)}, path)
    heard: list[int] = []
    store.commit_path(path, progress=heard.append)
    assert sum(heard) == store.resolve("main").logical_bytes == 12_000_000 + 4000 + 16
    assert len(heard) > 2
