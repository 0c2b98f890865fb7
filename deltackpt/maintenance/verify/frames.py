"""The frames of packs: header, footer and trailer, each read once, and whether records fill all that lies between."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.heads import Heads, head_sizes, read_heads, stored_lengths
from deltackpt.chunkstore.pack import HEADER_SIZE, OFFSET_SIZE, TRAILER_SIZE
from deltackpt.errors import DeltackptError
from deltackpt.ids import PackId
from deltackpt.maintenance.verify.report import Finding


@dataclass(frozen=True, slots=True)
class Frames:
    """Entries of packs. What is wrong with one is kept in ``findings``, and the pack has no entries then."""

    store: ChunkStore
    findings: dict[PackId, Finding] = field(default_factory=dict)
    _counts: dict[PackId, int] = field(default_factory=dict)

    def heads(self, pack: PackId) -> Heads:
        """What the pack holds."""
        found = self._heads(pack)
        self._counts[pack] = len(found)
        return found

    def compare(self, pack: PackId, size: int, records: int) -> None:
        """Find fault with a pack that is not what its log record says."""
        if pack in self.findings:
            return
        path = self.store.layout.pack(pack)
        try:
            same = self._counts[pack] == records and self.store.disk.size(path) == size
        except FileNotFoundError:
            self.findings[pack] = self._missing(pack)
            return
        if not same:
            self.findings[pack] = Finding(f"pack {pack.short} ({path}) is not the one that was published", pack=pack)

    def _missing(self, pack: PackId) -> Finding:
        return Finding(f"pack {pack.short} ({self.store.layout.pack(pack)}) is missing", pack=pack)

    def _heads(self, pack: PackId) -> Heads:
        path = self.store.layout.pack(pack)
        try:
            heads = read_heads(self.store.disk, path, pack)
            size = self.store.disk.size(path)
        except FileNotFoundError:
            self.findings[pack] = self._missing(pack)
            return Heads.of([])
        except DeltackptError as error:
            self.findings[pack] = Finding.of(error, pack=pack)
            return Heads.of([])
        if not _fill(heads, size):
            self.findings[pack] = Finding(f"pack {pack.short} ({path}): its records leave holes or overlap", pack=pack)
        return heads


def _fill(heads: Heads, size: int) -> bool:
    """Whether the records stand one after another from the header to the footer."""
    ends = HEADER_SIZE + np.cumsum(stored_lengths(heads.fields))
    begins = np.concatenate([[HEADER_SIZE], ends])
    footer = OFFSET_SIZE * len(heads) + int(head_sizes(heads.fields).sum())
    return np.array_equal(begins[:-1], heads.offsets) and int(begins[-1]) + footer + TRAILER_SIZE == size
