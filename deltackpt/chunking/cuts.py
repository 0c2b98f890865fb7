"""Places where plain bytes are cut into chunks, however they were found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class Cuts(Protocol):
    """A way to cut ``nbytes`` plain bytes into chunks."""

    def spans(self, nbytes: int) -> Iterator[tuple[int, int]]:
        """``(start, stop)`` of each chunk, in order; together they are all of the bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Lengths:
    """Cuts that are written down: the length of each chunk, one after another."""

    lengths: tuple[int, ...]

    def spans(self, nbytes: int) -> Iterator[tuple[int, int]]:
        at = 0
        for length in self.lengths:
            yield at, at + length
            at += length
