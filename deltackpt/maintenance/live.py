"""Which records it takes to decode what is marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deltackpt.chunkstore.heads import head_sizes, join_ids, split_ids, stored_lengths
from deltackpt.chunkstore.pack import HEADER_SIZE, OFFSET_SIZE, TARGET_PACK_BYTES, TRAILER_SIZE
from deltackpt.chunkstore.record import RecordHead
from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.chunk_set import ChunkSet
from deltackpt.maintenance.holdings import Holdings, Place
from deltackpt.maintenance.numbering import Numbering, Numbers
from deltackpt.maintenance.records import Mask
from deltackpt.maintenance.survey import Survey, SurveyError

_NOTHING: Mapping[ChunkId, RecordHead] = {}


@dataclass(frozen=True, slots=True)
class Live:
    """Records of a store that are needed: ``mask`` tells for each; ``counts`` are by the number of their pack."""

    holdings: Holdings
    mask: Mask
    counts: NDArray[np.intp]

    def count(self, pack: PackId) -> int:
        """How many records of the pack are needed."""
        known = self.holdings.packs.get(pack)
        return int(self.counts[known.number]) if known is not None and known.number < len(self.counts) else 0

    def records(self, pack: PackId) -> NDArray[np.intp]:
        """Those of a pack, in the order in which they lie there."""
        known = self.holdings.packs[pack]
        rows = known.start + np.flatnonzero(self.mask[known.start : known.stop])
        return rows[np.argsort(self.holdings.records.offsets[rows], kind="stable")]

    def places(self, pack: PackId) -> Iterator[Place]:
        return self.holdings.places(self.records(pack))

    def everywhere(self) -> Iterator[Place]:
        """All of them, in the order in which they came to the store."""
        return self.holdings.places(np.flatnonzero(self.mask))

    def size(self, pack: PackId) -> int:
        """Bytes of a pack that would hold them alone."""
        fields = self.holdings.records.fields[self.records(pack)]
        return _packed_size(stored_lengths(fields), head_sizes(fields))


def live_records(survey: Survey, chunks: ChunkSet, instead: Mapping[ChunkId, RecordHead] = _NOTHING) -> Live:
    """The records that decoding ``chunks`` takes, bases of whole records included.

    What is declared lost is passed over; what stands on it lives on, as it may be readable again.
    ``instead`` are heads of records that will take over; they have no place yet. SurveyError when a chunk is missing.
    """
    records = survey.holdings.records
    replaced = _Replaced(records.numbering, instead)
    seen = chunks.mask()
    live = np.zeros(len(records), np.bool_)
    pending = np.flatnonzero(seen)
    while len(pending):
        pending, below = replaced.split(pending)
        held = _held(survey, pending)
        new = np.unique(held[~live[held]])
        live[new] = True
        bases = np.concatenate([records.bases[records.members_of(new)], below])
        bases = bases[bases >= 0]
        pending = np.unique(bases[~seen[bases]])
        seen[pending] = True
    return Live(survey.holdings, live, np.bincount(records.packs[live]))


def _held(survey: Survey, chunks: NDArray[np.intp]) -> Numbers:
    """The records that hold these chunks, without those that are declared lost."""
    held = survey.holdings.records.holding(chunks)
    for chunk in split_ids(survey.holdings.records.numbering.ids(chunks[held < 0])):
        if chunk not in survey.lost:
            raise SurveyError(
                f"chunk {chunk.short} is reachable but in no pack; nothing was deleted, run `deltackpt verify`"
            )
    return held[held >= 0]


class _Replaced:
    """Chunks whose record will be another one."""

    def __init__(self, numbering: Numbering, instead: Mapping[ChunkId, RecordHead]) -> None:
        def numbers(chunks: Iterable[ChunkId]) -> Numbers:
            return numbering.number(join_ids(chunks))

        bases = [numbers(head.bases) for head in instead.values()]
        self._bases = dict(zip(numbers(instead).tolist(), bases, strict=True))
        self._chunks = np.array(list(self._bases), np.int32)

    def split(self, chunks: NDArray[np.intp]) -> tuple[NDArray[np.intp], Numbers]:
        """Those of ``chunks`` that stay where they are, and what the others will stand on."""
        if not self._bases:
            return chunks, self._chunks
        leaving = np.isin(chunks, self._chunks)
        return chunks[~leaving], np.concatenate(
            [self._chunks[:0], *(self._bases[chunk] for chunk in chunks[leaving].tolist())]
        )


def packed_size(heads: Iterable[RecordHead]) -> int:
    """Bytes of the packs that a writer makes of these records."""
    sizes = np.array([(head.stored_length, head.size) for head in heads], np.int64).reshape(-1, 2)
    return _packed_size(sizes[:, 0], sizes[:, 1])


def _packed_size(stored: NDArray[np.int64], heads: NDArray[np.int64]) -> int:
    ends = np.cumsum(stored)
    packs = first = 0
    while first < len(stored):
        before = int(ends[first - 1]) if first else 0
        # The writer closes a pack with the record that fills it.
        first = int(np.searchsorted(ends, before + TARGET_PACK_BYTES - HEADER_SIZE)) + 1
        packs += 1
    return packs * (HEADER_SIZE + TRAILER_SIZE) + int(stored.sum() + heads.sum()) + OFFSET_SIZE * len(stored)
