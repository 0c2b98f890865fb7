"""Rows of the index, many at a time, against what a replay of the log has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deltackpt.chunkstore.heads import join_ids, stored_lengths
from deltackpt.ids import PackId
from deltackpt.maintenance.holdings import Holdings
from deltackpt.maintenance.numbering import Numbers
from deltackpt.maintenance.records import Mask

# As `location.py` packs it.
_ROW = np.dtype(
    [
        ("pack", f"V{PackId.size}"),
        ("offset", "<u8"),
        ("stored", "<u4"),
        ("plain", "<u4"),
        ("at", "<u4"),
        ("members", "<u2"),
        ("kind", "u1"),
        ("recipe", "u1"),
        ("element", "u1"),
        ("rank", "u1"),
        ("cost", "<f4"),
        ("base", "<u8", (4,)),
    ]
)


class RowComparison:
    """Compares rows with ``holdings`` as they are now."""

    def __init__(self, holdings: Holdings) -> None:
        self._records = holdings.records
        self._holders = holdings.records.holders
        self._packs = np.frombuffer(b"".join(holdings.names), _ROW["pack"])
        lengths = self._records.lengths
        self._begins = np.cumsum(lengths, dtype=np.int64) - lengths

    def matches(self, chunks: Sequence[bytes], rows: Sequence[bytes]) -> Mask:
        """For each of ``chunks``, whether its row says where the replay has it."""
        found = np.frombuffer(b"".join(rows), _ROW)
        numbers = self._records.numbering.find(join_ids(chunks))
        there = np.flatnonzero(numbers >= 0)
        there = there[self._holders[numbers[there]] >= 0]
        same = np.zeros(len(found), np.bool_)
        same[there] = self._agree(found[there], self._holders[numbers[there]])
        return same

    def _agree(self, rows: NDArray[np.void], members: Numbers) -> Mask:
        table = self._records
        records, bases = table.records[members], table.bases[members]
        fields = table.fields[records]
        told = (
            (rows["pack"], self._packs[table.packs[records]]),
            (rows["offset"], table.offsets[records]),
            (rows["stored"], stored_lengths(fields)),
            (rows["members"], fields["members"]),
            (rows["recipe"], fields["recipe"]),
            (rows["rank"], fields["rank"]),
            (rows["plain"], table.lengths[members]),
            (rows["at"], self._begins[members] - self._begins[table.first[records]]),
        )
        same = np.ones(len(rows), np.bool_)
        for said, held in told:
            same &= said == held
        based = np.flatnonzero(bases >= 0)
        same[based] &= (rows["base"][based] == table.numbering.ids(bases[based])).all(axis=1)
        return same
