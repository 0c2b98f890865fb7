"""The mean of one tensor in several commits, computed for whatever range is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deltackpt.chunkstore.reader import ChunkReader
from deltackpt.history.manifest import StoredTensor
from deltackpt.skeleton.numpy_build import type_of_table
from deltackpt.tensor.dtype import DTYPES, DType, Element

# A complex number is two floats, and the mean goes by each.
_LANES = {Element.FLOAT16: "float16", Element.FLOAT32: "float32", Element.FLOAT64: "float64"}


@dataclass(frozen=True, slots=True)
class Term:
    """A tensor as one commit has it, and how much that counts."""

    stored: StoredTensor
    weight: float


class Mean:
    """A source of the mean of ``terms``: floats are summed in float64 and rounded once, anything else is the last's.

    What is the same in all commits stays as it is, bit for bit. Any range can be read from any thread; reading takes
    no other.
    """

    def __init__(self, reader: ChunkReader, terms: Sequence[Term]) -> None:
        last = terms[-1].stored
        same = all((t.stored.chunks, t.stored.inline) == (last.chunks, last.inline) for t in terms)
        counted = [term for term in terms if term.weight]
        self._reader = reader
        self._terms = [Term(last, 1.0)] if same or not last.dtype.element.exponent_bits else counted
        self.dtype: DType = last.dtype
        self.shape: tuple[int, ...] = last.shape

    def read(self, start: int, stop: int) -> memoryview:
        if len(self._terms) == 1:
            return self._plain(self._terms[0].stored, start, stop)
        lane = type_of_table(DTYPES.get(_LANES.get(self.dtype.element, ""), self.dtype))
        first, last = start - start % lane.itemsize, stop + -stop % lane.itemsize
        total = np.zeros((last - first) // lane.itemsize)
        # Masks hold -inf, and a sum of infinities may be no number: the result says so.
        with np.errstate(invalid="ignore", over="ignore"):
            for term in self._terms:
                values = np.frombuffer(self._plain(term.stored, first, last), lane)
                total += values.astype(np.float64) * term.weight
            plain = total.astype(lane)
        return plain.view(np.uint8).data[start - first : stop - first].toreadonly()

    def release(self) -> None:
        """Nothing is kept."""

    def _plain(self, stored: StoredTensor, start: int, stop: int) -> memoryview:
        if stored.inline is not None:
            return memoryview(stored.inline)[start:stop]
        pieces = [
            self._reader.read(chunk)[max(0, start - first) : stop - first]
            for chunk, first, _ in stored.spans_touching(start, stop)
        ]
        return pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))
