"""Sources are read by several threads at once; where bytes must be copied, only what is asked for is."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from deltackpt.skeleton.capture import capture

WHOLE = torch.arange(60_000.0).view(200, 300)
CUBE = torch.arange(24_000).view(20, 30, 40)
RECORDS = np.zeros((100, 60), [("a", "i1"), ("b", "f8")])
RECORDS["b"] = np.arange(6000).reshape(100, 60)
TEXTS = np.array([f"{number:07}" for number in range(9000)]).reshape(90, 100)
STATES = {
    "strided tensor": ({"t": WHOLE.t()}, WHOLE.t().contiguous().numpy().tobytes()),
    "permuted tensor": ({"t": CUBE.permute(2, 0, 1)}, CUBE.permute(2, 0, 1).contiguous().numpy().tobytes()),
    "conjugate": ({"t": torch.complex(WHOLE, WHOLE).conj()}, torch.complex(WHOLE, -WHOLE).numpy().tobytes()),
    "shared memory": ({"a": WHOLE[:150], "b": WHOLE[50:]}, WHOLE.numpy().tobytes()),
    "shared columns": ({"a": WHOLE[:, :200], "b": WHOLE[:, 100:]}, WHOLE.numpy().tobytes()),
    "strided array": ({"a": WHOLE.numpy().T}, WHOLE.t().contiguous().numpy().tobytes()),
    "backward array": ({"a": WHOLE.numpy()[::-1]}, WHOLE.flip(0).numpy().tobytes()),
    "big-endian array": ({"a": np.arange(9000, dtype=">i8").reshape(90, 100)}, np.arange(9000).tobytes()),
    "records": ({"a": RECORDS.T}, RECORDS.T.copy().tobytes()),
    "texts": ({"a": TEXTS.T}, TEXTS.T.copy().tobytes()),
}


@pytest.mark.parametrize("kind", STATES)
def test_threads_read_the_same_bytes(kind: str) -> None:
    state, expected = STATES[kind]
    source = capture(state).parts[0].tensors[0].source
    step = 4000 if kind not in ("records", "texts") else 4011
    starts = range(0, len(expected), step)
    with ThreadPoolExecutor(8) as pool:
        pieces = list(pool.map(lambda start: bytes(source.read(start, min(start + step, len(expected)))), starts))
    assert b"".join(pieces) == expected


@pytest.mark.parametrize("kind", STATES)
def test_a_range_costs_no_more_than_its_own_memory(kind: str) -> None:
    state, expected = STATES[kind]
    source = capture(state).parts[0].tensors[0].source
    source.read(0, 8)
    tracemalloc.start()
    try:
        found = source.read(8000, 16_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    source.release()
    assert bytes(found) == expected[8000:16_000]
    assert peak < 40_000 < len(expected)


def test_what_was_read_cannot_be_written() -> None:
    for tensor in (torch.ones(2), np.ones(2)):
        view = capture([tensor]).parts[0].tensors[0].source.read(0, 4)
        assert view.readonly
