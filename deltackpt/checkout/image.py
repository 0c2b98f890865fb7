"""A file that is on no disk: any range of its bytes is brought from the store when it is asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from deltackpt.checkout.ranges import read_into, read_window
from deltackpt.history.manifest import StoredTensor
from deltackpt.history.repository import Repository
from deltackpt.skeleton.view import View


@dataclass(frozen=True, slots=True)
class Window:
    """A view on a stored tensor, as bytes in C order."""

    stored: StoredTensor
    view: View

    @property
    def nbytes(self) -> int:
        return self.view.nbytes


Piece: TypeAlias = bytes | StoredTensor | Window
"""Some bytes of a file: as they are, those of a tensor, or those of a part of one."""


class Image:
    """The bytes of ``pieces``, one after another; ``size`` is how many. For any number of threads."""

    def __init__(self, repository: Repository, pieces: Iterable[Piece]) -> None:
        self._repository = repository
        self._pieces = tuple(pieces)
        self._begins = [0, *accumulate(map(_length, self._pieces))]

    @property
    def size(self) -> int:
        return self._begins[-1]

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop``, as far as the file goes; every chunk they stand in is decoded and hashed."""
        stop = min(stop, self.size)
        if start >= stop:
            return b""
        memory = memoryview(bytearray(stop - start))
        at = bisect_right(self._begins, start) - 1
        while self._begins[at] < stop:
            begin = self._begins[at]
            low, high = max(start, begin), min(stop, self._begins[at + 1])
            self._fill(self._pieces[at], low - begin, memory[low - start : high - start])
            at += 1
            if at == len(self._pieces):
                break
        return bytes(memory)

    def _fill(self, piece: Piece, start: int, memory: memoryview) -> None:
        match piece:
            case bytes():
                memory[:] = piece[start : start + len(memory)]
            case StoredTensor():
                read_into(self._repository, piece, start, memory)
            case Window():
                self._fill_window(piece, start, memory)

    def _fill_window(self, piece: Window, start: int, memory: memoryview) -> None:
        """By whole rows, so that a range of a large window costs what it is worth."""
        stop = start + len(memory)
        rows = piece.view.shape[0] if piece.view.shape else 1
        row = piece.nbytes // rows
        first, last = start // row, -(-stop // row)
        view = piece.view.rows(first, last) if piece.view.shape else piece.view
        plain = read_window(self._repository, piece.stored, view)
        memory[:] = plain[start - first * row : stop - first * row]


def _length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.nbytes
