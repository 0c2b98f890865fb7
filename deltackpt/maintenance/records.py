"""Records as rows of a table, and which of them holds each chunk: what a survey keeps of the frames that it has read.

    records   fields as on disk, offset, number of the pack, row of the first member
    members   number of the chunk, its length, number of its base, row of the record; those of a record in a row
    chunks    the member that is the copy in use, by the chunk's number

About 100 bytes a chunk that has a record of its own, 60 for one that shares it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltackpt.chunkstore.heads import FIELDS, Heads, head_sizes, ranges, stored_lengths
from deltackpt.ids import ChunkId
from deltackpt.maintenance.numbering import Numbering, Numbers

Mask = NDArray[np.bool_]


class Column:
    """An array to which rows are added at the end."""

    __slots__ = ("_count", "_room")

    def __init__(self, dtype: np.dtype[Any] | type[Any]) -> None:
        self._room: NDArray[Any] = np.empty(0, dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> NDArray[Any]:
        return self._room[: self._count]

    def extend(self, values: NDArray[Any]) -> None:
        end = self._count + len(values)
        if end > len(self._room):
            room = np.empty(end + end // 2, self._room.dtype)
            room[: self._count] = self.rows
            self._room = room
        self._room[self._count : end] = values
        self._count = end


@dataclass(frozen=True, slots=True)
class Records:
    """Rows are added and never change; those of packs that are gone stay behind, unused."""

    numbering: Numbering = field(default_factory=Numbering)
    _fields: Column = field(default_factory=lambda: Column(FIELDS))
    _offsets: Column = field(default_factory=lambda: Column(np.uint64))
    _packs: Column = field(default_factory=lambda: Column(np.int32))
    _first: Column = field(default_factory=lambda: Column(np.int64))
    _chunks: Column = field(default_factory=lambda: Column(np.int32))
    _lengths: Column = field(default_factory=lambda: Column(np.uint32))
    _bases: Column = field(default_factory=lambda: Column(np.int32))
    _records: Column = field(default_factory=lambda: Column(np.int32))
    _holders: Column = field(default_factory=lambda: Column(np.int32))

    def __len__(self) -> int:
        return len(self._fields)

    @property
    def fields(self) -> NDArray[np.void]:
        return self._fields.rows

    @property
    def offsets(self) -> NDArray[np.uint64]:
        return self._offsets.rows

    @property
    def packs(self) -> Numbers:
        """The number of the pack that each record lies in."""
        return self._packs.rows

    @property
    def chunks(self) -> Numbers:
        """The chunk of each member."""
        return self._chunks.rows

    @property
    def lengths(self) -> NDArray[np.uint32]:
        """The plain bytes of each member."""
        return self._lengths.rows

    @property
    def bases(self) -> Numbers:
        """The chunk that each member is a delta against, -1 for none."""
        return self._bases.rows

    @property
    def records(self) -> Numbers:
        """The record of each member."""
        return self._records.rows

    @property
    def first(self) -> NDArray[np.int64]:
        """The first member of each record."""
        return self._first.rows

    @property
    def stored_lengths(self) -> NDArray[np.int64]:
        return stored_lengths(self.fields)

    @property
    def head_sizes(self) -> NDArray[np.int64]:
        return head_sizes(self.fields)

    @property
    def holders(self) -> Numbers:
        """By the number of each chunk the member that is its copy in use, or -1."""
        missing = len(self.numbering) - len(self._holders)
        if missing:
            self._holders.extend(np.full(missing, -1, np.int32))
        return self._holders.rows

    def holding(self, chunks: Numbers) -> Numbers:
        """The records that hold these chunks, -1 for those that none holds."""
        held = self.holders[chunks]
        return np.where(held < 0, held, self.records[held]) if len(self) else held

    def members_of(self, records: NDArray[Any]) -> NDArray[np.int64]:
        """The members of some records, by record."""
        return ranges(self.first[records], self.fields["members"][records].astype(np.int64))

    def add(self, packs: NDArray[Any], heads: Heads) -> None:
        """Rows for ``heads`` at the end; ``packs`` are the numbers of the packs that they lie in."""
        counts, member, record = heads.members, len(self._chunks), len(self)
        bases = np.full(len(heads.ids), -1, np.int32)
        bases[heads.based] = self.numbering.number(heads.bases)
        self._chunks.extend(self.numbering.number(heads.ids))
        self._lengths.extend(heads.lengths)
        self._bases.extend(bases)
        self._records.extend(np.repeat(np.arange(record, record + len(heads)), counts))
        self._packs.extend(packs)
        self._first.extend(member + np.cumsum(counts) - counts)
        self._offsets.extend(heads.offsets)
        self._fields.extend(heads.fields)

    def use(self, members: NDArray[Any], *, takes_over: bool) -> Numbers:
        """Put these copies in use, for chunks that have none unless the copy takes over; returns their chunks.

        Of several copies of a chunk the first is used, of those that take over the last.
        """
        holders, chunks = self.holders, self.chunks[members]
        if not takes_over:
            members = members[holders[chunks] < 0][::-1]
        # NumPy leaves behind the last of several values for one place.
        holders[self.chunks[members]] = members
        brought: Numbers = self.chunks[members]
        return brought

    def leave(self, records: slice) -> None:
        """These records are not in the store any more, and neither are chunks whose copy in use they hold."""
        members = self.members_of(np.arange(records.start, records.stop))
        held = self.chunks[members]
        self.holders[held[self.holders[held] == members]] = -1

    def forget(self, chunks: Iterable[ChunkId]) -> None:
        """None of these is in the store any more."""
        numbers = [number for number in map(self.numbering.find_one, chunks) if number >= 0]
        self.holders[numbers] = -1

    def heads(self, records: NDArray[Any]) -> Heads:
        """The heads of some records."""
        members = self.members_of(records)
        bases = self.bases[members]
        ids = self.numbering.ids
        return Heads(
            self.offsets[records],
            self.fields[records],
            ids(self.chunks[members]),
            self.lengths[members],
            ids(bases[bases >= 0]),
        )

    def kept(self, records: Sequence[int] | NDArray[Any], packs: NDArray[Any]) -> Records:
        """A table of these rows alone, in their order, with other numbers for ``packs``; what is in use stays so."""
        new = Records()
        new.add(packs, self.heads(np.asarray(records)))
        members = self.members_of(np.asarray(records))
        used = np.flatnonzero(self.holders[self.chunks[members]] == members)
        new.use(used, takes_over=True)
        return new
