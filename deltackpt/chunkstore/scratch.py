"""Buffers that each thread keeps for chunks on their way: mapped and zeroed once, not for every chunk."""

from __future__ import annotations

import threading

_held = threading.local()


def scratch(slot: int, size: int) -> memoryview:
    """This thread's buffer number ``slot``, cut to ``size`` bytes. What it held before is gone."""
    slots: dict[int, bytearray] | None = getattr(_held, "slots", None)
    if slots is None:
        slots = _held.slots = {}
    buffer = slots.get(slot)
    if buffer is None or len(buffer) < size:
        buffer = slots[slot] = bytearray(size)
    return memoryview(buffer)[:size]
