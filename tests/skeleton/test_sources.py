"""Sources are read by several threads at once; copies are made once and dropped on release."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from deltackpt.skeleton.capture import capture

WHOLE = torch.arange(60_000.0).view(200, 300)
STATES = {
    "strided tensor": ({"t": WHOLE.t()}, WHOLE.t().contiguous().numpy().tobytes()),
    "shared memory": ({"a": WHOLE[:150], "b": WHOLE[50:]}, WHOLE.numpy().tobytes()),
    "strided array": ({"a": WHOLE.numpy().T}, WHOLE.t().contiguous().numpy().tobytes()),
}


@pytest.mark.parametrize("kind", STATES)
def test_threads_read_the_same_bytes(kind: str) -> None:
    state, expected = STATES[kind]
    source = capture(state).parts[0].tensors[0].source
    step = 4000
    starts = range(0, len(expected), step)
    with ThreadPoolExecutor(8) as pool:
        pieces = list(pool.map(lambda start: bytes(source.read(start, min(start + step, len(expected)))), starts))
    assert b"".join(pieces) == expected


@pytest.mark.parametrize("kind", STATES)
def test_a_copy_is_made_once_until_it_is_released(kind: str) -> None:
    source = capture(STATES[kind][0]).parts[0].tensors[0].source
    address = np.frombuffer(source.read(0, 8), np.uint8).ctypes.data
    assert np.frombuffer(source.read(0, 8), np.uint8).ctypes.data == address
    view = source.read(8, 16)
    source.release()
    assert bytes(view) == STATES[kind][1][8:16]


def test_what_was_read_cannot_be_written() -> None:
    for tensor in (torch.ones(2), np.ones(2)):
        view = capture([tensor]).parts[0].tensors[0].source.read(0, 4)
        assert view.readonly
