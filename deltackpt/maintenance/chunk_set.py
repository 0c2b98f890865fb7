"""A set of chunks for millions of them: a byte for each chunk that is numbered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np

from deltackpt.chunkstore.heads import join_ids
from deltackpt.ids import ChunkId
from deltackpt.maintenance.numbering import Numbering
from deltackpt.maintenance.records import Mask

# Bytes of ids that wait to be taken in together.
_AT_ONCE = 1 << 22


class ChunkSet:
    """Chunks of one numbering; those that it does not know yet are numbered."""

    def __init__(self, numbering: Numbering) -> None:
        self._numbering = numbering
        self._there: Mask = np.zeros(0, np.bool_)
        self._waiting = bytearray()

    @classmethod
    def of(cls, numbering: Numbering, chunks: Iterable[ChunkId]) -> Self:
        found = cls(numbering)
        found.update(chunks)
        return found

    def add(self, ids: bytes) -> None:
        """Take in ids that stand one after another; ValueError when they are no whole number."""
        if len(ids) % ChunkId.size:
            raise ValueError(f"{len(ids)} bytes are no whole number of chunk ids")
        self._waiting += ids
        if len(self._waiting) >= _AT_ONCE:
            self._settle()

    def update(self, chunks: Iterable[ChunkId]) -> None:
        for chunk in chunks:
            self.add(chunk)

    def clear(self) -> None:
        self._there = np.zeros(0, np.bool_)
        self._waiting.clear()

    def __contains__(self, chunk: object) -> bool:
        self._settle()
        number = self._numbering.find_one(chunk) if isinstance(chunk, bytes) else -1
        return 0 <= number < len(self._there) and bool(self._there[number])

    def mask(self) -> Mask:
        """For each number, whether that chunk is in the set. The caller's own."""
        self._settle()
        found = np.zeros(len(self._numbering), np.bool_)
        found[: len(self._there)] = self._there
        return found

    def _settle(self) -> None:
        if self._waiting:
            numbers = self._numbering.number(join_ids([bytes(self._waiting)]))
            self._waiting.clear()
            self._there = self.mask()
            self._there[numbers] = True
