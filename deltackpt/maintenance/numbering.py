"""Numbers for chunk ids, so that what is known of many chunks can stand in arrays.

A table of slots, of which an id looks for its own from the one on that its hash says. An array holds all slots, and
all ids that are looked up together take each step together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltackpt.chunkstore.heads import Ids
from deltackpt.ids import ChunkId

Numbers = NDArray[np.integer[Any]]
"""Of chunks, or of rows in a table; -1 stands for none."""

_FIRST_BITS = 10
# Of so many slots one more id may be taken in: beyond that the ways to the right one grow long.
_FULL = 0.6
# Ids that are looked up at once: what that takes beside the table stays small.
_AT_ONCE = 1 << 17
_WORD = (1 << 64) - 1


class Numbering:
    """Every id that it was ever asked to number, from 0 on in the order of asking. About 50 bytes each."""

    def __init__(self) -> None:
        # Nobody else knows them, so nobody can make up ids that all look in one place.
        self._mix = np.frombuffer(os.urandom(32), np.uint64) | np.uint64(1)
        self._count = 0
        self._make_room(_FIRST_BITS)

    def __len__(self) -> int:
        return self._count

    def number(self, ids: Ids) -> Numbers:
        """The number of each of ``ids``; new ones get one."""
        found = np.empty(len(ids), np.int32)
        for part in _parts(len(ids)):
            found[part] = self._find(ids[part])
            new = part.start + np.flatnonzero(found[part] < 0)
            if len(new):
                found[new] = self._add(ids[new])
        return found

    def find(self, ids: Ids) -> Numbers:
        """The number of each of ``ids``, -1 for what has none."""
        found = np.empty(len(ids), np.int32)
        for part in _parts(len(ids)):
            found[part] = self._find(ids[part])
        return found

    def find_one(self, chunk: bytes) -> int:
        """The number of a chunk, or -1."""
        mask, slots, ids = len(self._slots) - 1, self._slots, self._ids
        words = (int.from_bytes(chunk[at : at + 8], "little") for at in range(0, ChunkId.size, 8))
        mixed = sum(word * int(mix) for word, mix in zip(words, self._mix, strict=True)) & _WORD
        slot = mixed >> (64 - self._bits)
        while (held := int(slots[slot])) >= 0 and ids[held].tobytes() != chunk:
            slot = (slot + 1) & mask
        return held

    def ids(self, numbers: Numbers | None = None) -> Ids:
        """The ids of some numbers, or of all."""
        known = self._ids[: self._count]
        return known if numbers is None else known[numbers]

    def _find(self, ids: Ids) -> Numbers:
        found = np.full(len(ids), -1, np.int32)
        slots, pending = self._first_slots(ids), np.arange(len(ids))
        while len(pending):
            held = self._slots[slots[pending]]
            pending, held = pending[held >= 0], held[held >= 0]
            same = _are_same(self._ids[held], ids[pending])
            found[pending[same]] = held[same]
            pending = pending[~same]
            slots[pending] = (slots[pending] + 1) & (len(self._slots) - 1)
        return found

    def _add(self, ids: Ids) -> Numbers:
        """Numbers for ids that have none yet, some of which may be the same."""
        while self._count + len(ids) > len(self._ids):
            self._make_room(self._bits + 1)
        first = self._count
        self._ids[first : first + len(ids)] = ids
        taken, slots = self._settle(first, len(ids))
        # Of the same ids one has settled, and the number of the others is not needed.
        settled = taken == np.arange(first, first + len(ids))
        numbers = (first - 1 + np.cumsum(settled)).astype(np.int32)
        self._count += int(settled.sum())
        self._ids[first : self._count] = ids[settled]
        self._slots[slots[settled]] = numbers[settled]
        return numbers[taken - first]

    def _settle(self, first: int, count: int) -> tuple[Numbers, NDArray[np.int64]]:
        """Give a slot to each of the ids from number ``first`` on; who has it in the end, and which it is."""
        ids = self._ids[first : first + count]
        numbers = np.arange(first, first + count, dtype=np.int32)
        taken = np.empty(count, np.int32)
        slots, pending = self._first_slots(ids), np.arange(count)
        while len(pending):
            free = pending[self._slots[slots[pending]] < 0]
            self._slots[slots[free]] = numbers[free]
            held = self._slots[slots[pending]]
            same = _are_same(self._ids[held], ids[pending])
            taken[pending[same]] = held[same]
            pending = pending[~same]
            slots[pending] = (slots[pending] + 1) & (len(self._slots) - 1)
        return taken, slots

    def _first_slots(self, ids: Ids) -> NDArray[np.int64]:
        mixed = ids[:, 0] * self._mix[0]
        for column in range(1, ids.shape[1]):
            mixed += ids[:, column] * self._mix[column]
        slots: NDArray[np.int64] = (mixed >> np.uint64(64 - self._bits)).astype(np.int64)
        return slots

    def _make_room(self, bits: int) -> None:
        self._bits = bits
        self._slots = np.full(1 << bits, -1, np.int32)
        room = np.empty((int(_FULL * (1 << bits)), ChunkId.size // 8), "<u8")
        if self._count:
            room[: self._count] = self._ids[: self._count]
        self._ids: Ids = room
        for part in _parts(self._count):
            self._settle(part.start, part.stop - part.start)


def _are_same(some: Ids, others: Ids) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = some[:, 0] == others[:, 0]
    for column in range(1, some.shape[1]):
        same &= some[:, column] == others[:, column]
    return same


def _parts(count: int) -> Iterator[slice]:
    return (slice(at, min(at + _AT_ONCE, count)) for at in range(0, count, _AT_ONCE))
