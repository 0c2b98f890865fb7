"""Cutting bytes where their content says so, so that what stays the same is found again wherever it moved to.

A cut stands behind every byte at which a hash of the last 32 bytes falls below a limit (the gear hash of FastCDC: Xia
et al., USENIX ATC 2016), but for those that would make a chunk shorter than a quarter, or longer than four times, of
the average. The hash of a window is a sum of shifted table values, so those of all windows are found by doubling: of 1
byte, of 2, of 4 ... 32, each with one shift and one addition over a whole block.

Measured in docs/design/folders.md. Cuts are written down with the chunks, so nothing here is part of the format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from blake3 import blake3

Read = Callable[[int, int], memoryview]

AVERAGE_BYTES = 16 << 10
LARGE_AVERAGE_BYTES = 512 << 10
LARGE_FROM = 64 << 20
"""What has so many bytes is cut into larger chunks, or the ids of its chunks would be too many."""

_WINDOW = 32
_BLOCK = 1 << 17


@dataclass(frozen=True, slots=True)
class ContentCuts:
    """Cuts of the bytes that ``read`` gives by range, which are read in order, once, as the cuts are asked for."""

    read: Read

    def spans(self, nbytes: int) -> Iterator[tuple[int, int]]:
        average = AVERAGE_BYTES if nbytes < LARGE_FROM else LARGE_AVERAGE_BYTES
        start = 0
        for cut in _candidates(self.read, nbytes, average):
            while cut - start > 4 * average:
                yield start, start + 4 * average
                start += 4 * average
            if cut - start >= average // 4:
                yield start, cut
                start = cut
        while start < nbytes:
            stop = min(start + 4 * average, nbytes)
            yield start, stop
            start = stop


def _candidates(read: Read, nbytes: int, average: int) -> Iterator[int]:
    """Every offset behind a window whose hash is below the limit, in order."""
    import numpy as np

    gear, limit = _gear(), np.uint32((1 << 32) // average)
    hashes = np.empty(_BLOCK + _WINDOW, np.uint32)
    shifted = np.empty_like(hashes)
    for start in range(0, nbytes, _BLOCK):
        before = max(0, start - _WINDOW)
        stop = min(start + _BLOCK, nbytes)
        count = stop - before
        np.take(gear, np.frombuffer(read(before, stop), np.uint8), out=hashes[:count], mode="clip")
        step = 1
        while step < _WINDOW:
            np.left_shift(hashes[: count - step], step, out=shifted[: count - step])
            np.add(hashes[step:count], shifted[: count - step], out=hashes[step:count])
            step *= 2
        for found in np.flatnonzero(hashes[start - before : count] < limit):
            yield start + int(found) + 1


@cache
def _gear() -> Any:
    """A number of 32 bits for each byte, as good as random, and always the same ones."""
    import numpy as np

    return np.frombuffer(blake3(b"where bytes are cut").digest(length=1024), "<u4")
