"""Working memory that a thread keeps from chunk to chunk.

A fresh MiB costs more in page faults than most passes over it, so every intermediate array of the codec
lives in a named slot of the calling thread. What a slot held is gone as soon as the slot is asked for again;
nothing that leaves the codec may be a view of one.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class _Scratch(threading.local):
    """Slots grow to the largest chunk seen (4 MiB at most) and are freed with their thread."""

    def __init__(self) -> None:
        self._slots: dict[str, NDArray[np.uint8]] = {}

    def array(self, slot: str, dtype: DTypeLike, count: int) -> NDArray[Any]:
        """``count`` elements of undefined content, aligned, valid until ``slot`` is asked for again."""
        kind = np.dtype(dtype)
        size = kind.itemsize * count
        held = self._slots.get(slot)
        if held is None or held.size < size:
            held = self._slots[slot] = np.empty(size, np.uint8)
        return held[:size].view(kind)


scratch = _Scratch()
