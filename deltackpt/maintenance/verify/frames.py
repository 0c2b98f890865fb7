"""The frames of packs: header, footer and trailer, each read once, and whether records fill all that lies between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.pack import HEADER_SIZE, TRAILER_SIZE, PackEntry, read_entries
from deltackpt.errors import DeltackptError
from deltackpt.ids import PackId
from deltackpt.maintenance.verify.report import Finding


@dataclass(frozen=True, slots=True)
class Frames:
    """Entries of packs. What is wrong with one is kept in ``findings``, and the pack has no entries then."""

    store: ChunkStore
    findings: dict[PackId, Finding] = field(default_factory=dict)
    _read: dict[PackId, list[PackEntry]] = field(default_factory=dict)

    def entries(self, pack: PackId) -> list[PackEntry]:
        if pack not in self._read:
            self._read[pack] = self._entries(pack)
        return self._read[pack]

    def compare(self, pack: PackId, size: int, records: int) -> None:
        """Find fault with a pack that is not what its log record says."""
        entries = self.entries(pack)
        if pack in self.findings:
            return
        path = self.store.layout.pack(pack)
        if len(entries) != records or self.store.disk.size(path) != size:
            self.findings[pack] = Finding(f"pack {pack.short} ({path}) is not the one that was published", pack=pack)

    def _entries(self, pack: PackId) -> list[PackEntry]:
        path = self.store.layout.pack(pack)
        try:
            entries = read_entries(self.store.disk, path, pack)
            size = self.store.disk.size(path)
        except FileNotFoundError:
            self.findings[pack] = Finding(f"pack {pack.short} ({path}) is missing", pack=pack)
            return []
        except DeltackptError as error:
            self.findings[pack] = Finding.of(error, pack=pack)
            return []
        if not _fill(entries, size):
            self.findings[pack] = Finding(f"pack {pack.short} ({path}): its records leave holes or overlap", pack=pack)
        return entries


def _fill(entries: Sequence[PackEntry], size: int) -> bool:
    """Whether the records stand one after another from the header to the footer."""
    at = HEADER_SIZE
    for entry in entries:
        if entry.offset != at:
            return False
        at += entry.head.stored_length
    return at + _footer_size(entries) + TRAILER_SIZE == size


def _footer_size(entries: Iterable[PackEntry]) -> int:
    return sum(8 + entry.head.size for entry in entries)
