"""Sound records out of a damaged pack: each has a head and a checksum of its own, whatever became of the frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.heads import Heads
from deltackpt.chunkstore.location import Location, locations
from deltackpt.chunkstore.pack import MAX_FOOTER_BYTES, TARGET_PACK_BYTES, PackEntry
from deltackpt.chunkstore.plain_cache import CommitPlains
from deltackpt.chunkstore.reader import ChunkReader, Locations
from deltackpt.chunkstore.record import MAGIC, MAX_RECORD_BYTES, RecordCorruptError, RecordHead, check, parse_head
from deltackpt.history.repository import Repository
from deltackpt.ids import ChunkId, PackId
from deltackpt.maintenance.holdings import Place
from deltackpt.maintenance.verify.frames import Frames
from deltackpt.maintenance.verify.store import Inspection

MAX_PACK_BYTES = TARGET_PACK_BYTES + MAX_RECORD_BYTES + MAX_FOOTER_BYTES
_MARK = MAGIC.to_bytes(4, "little")


class SalvagedFrames(Frames):
    """Heads of records in packs; of a pack whose frame is damaged, those that are sound."""

    def _heads(self, pack: PackId) -> Heads:
        heads = Frames._heads(self, pack)
        if pack not in self.findings or self.findings[pack].unread:
            return heads
        try:
            data = self.store.disk.read(self.store.layout.pack(pack), MAX_PACK_BYTES)
        except FileNotFoundError:
            return Heads.of([])
        return Heads.of(sound_records(data))


class Salvage(Inspection):
    """A look at a store that also sees sound records in packs whose frame is damaged."""

    def __init__(self, repository: Repository) -> None:
        Inspection.__init__(self, repository, SalvagedFrames(repository.chunks))

    def _open_reader(self, chunks: ChunkStore) -> ChunkReader:
        return _SalvageReader(chunks, self.contents.in_use)


class _SalvageReader(ChunkReader):
    """Finds chunks that the index has no row for, as it was built when their pack was damaged already."""

    def __init__(self, chunks: ChunkStore, places: Mapping[ChunkId, Place]) -> None:
        ChunkReader.__init__(self, chunks, CommitPlains(0))
        self._places = places

    def locate(self, chunks: Iterable[ChunkId]) -> Locations:
        pending = list(chunks)
        found = ChunkReader.locate(self, pending)
        while pending:
            chunk = pending.pop()
            place = self._places.get(chunk)
            if chunk not in found and place is not None:
                found[chunk] = _location(chunk, place)
            base = found[chunk].base if chunk in found else None
            if base is not None and base not in found:
                pending.append(base)
        return found


def _location(chunk: ChunkId, place: Place) -> Location:
    return dict(locations(place.pack, place.entry.offset, place.entry.head))[chunk]


def sound_records(data: bytes, start: int = 0) -> Iterator[PackEntry]:
    """Every record from byte ``start`` on whose checksum is right; what lies between them is passed over."""
    view = memoryview(data)
    at = data.find(_MARK, start)
    while at >= 0:
        head = _record(view[at:])
        if head is not None:
            yield PackEntry(at, head)
        at = data.find(_MARK, at + (1 if head is None else head.stored_length))


def _record(data: memoryview) -> RecordHead | None:
    try:
        head = parse_head(data, "here")
        check(data[: head.stored_length], "here")
    except RecordCorruptError:
        return None
    return head
