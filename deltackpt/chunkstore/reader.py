"""From a chunk's identity to its plain bytes: find, read, decode along the chain, hash.

1. Locate the chunk and, along ``base``, every chunk below it, in one look at the index.
2. Read and decode records from the keyframe up. A stack takes the place of recursion, so a chain of any
   length costs no Python frames; a rank that does not fall along the chain ends the walk as corrupt.
3. Hash what came out. Bases need no hash of their own here: wrong base bytes give wrong chunk bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.location import Location
from deltackpt.chunkstore.pack_files import PackFiles
from deltackpt.chunkstore.plain_cache import RecentPlains
from deltackpt.chunkstore.plains import Borrow, Plains
from deltackpt.chunkstore.record import BUNDLED_BELOW, HEAD_SIZE, RecordHead, check, plain_length
from deltackpt.chunkstore.scratch import scratch
from deltackpt.chunkstore.view import View
from deltackpt.errors import CorruptError, NotFoundError, StorageError
from deltackpt.ids import ChunkId, PackId
from deltackpt.tensor.dtype import Element

BUNDLE_CACHE_BYTES = 16 << 20
# Some shares have another number for a file whenever they are asked, as if it were replaced all the time.
_MAX_MENDED = 10


class ChunkCorruptError(CorruptError):
    """A chunk's bytes cannot be had as they were committed."""


class ChunkLostError(ChunkCorruptError):
    """A chunk whose bytes were damaged, as a repair has declared. It comes back with whatever brings it again."""


class _RankError(ChunkCorruptError):
    """A chunk's rank is not above its base's, or no longer: another record may have taken over since it was found."""


class ChunkNotFoundError(NotFoundError):
    """No record of the store holds the chunk any more."""


Locations = MutableMapping[ChunkId, Location]
Lent = Mapping[ChunkId, memoryview]
NOTHING_LENT: Lent = {}

_RecordKey = tuple[PackId, int]


class ChunkReader:
    """Decodes chunks of one store; safe to use from several threads.

    ``cache`` holds the plain chunks of the last commit made through the same store object.
    """

    def __init__(self, store: ChunkStore, cache: Plains) -> None:
        self._store = store
        self._files = PackFiles(store.disk, store.layout)
        self.cache = cache
        self._bundles: RecentPlains[_RecordKey] = RecentPlains(BUNDLE_CACHE_BYTES)

    def close(self) -> None:
        self._files.close()

    def locate(self, chunks: Iterable[ChunkId]) -> Locations:
        """Locations of ``chunks`` and of every chunk that theirs are deltas against; unknown ones are left out."""
        wanted = list(chunks)
        return self._store.look(lambda view: _closure(view, wanted))

    def dependencies(self, view: View, chunks: Iterable[ChunkId], *, despite_losses: bool = False) -> list[Location]:
        """Every location that reading ``chunks`` touches, bases of whole records included.

        ChunkNotFoundError when the index lacks one of them; with ``despite_losses`` those that are declared lost are
        passed over.
        """
        found: Locations = {}
        pending = list(chunks)
        while pending:
            chunk = pending.pop()
            if chunk in found:
                continue
            location = view.chunk(chunk)
            if location is None and despite_losses and view.is_lost(chunk):
                continue
            if location is None:
                raise ChunkNotFoundError(f"chunk {chunk.short} is in no pack of the store; run `deltackpt verify`")
            found[chunk] = location
            pending.extend(self.bases(chunk, location))
        return list(found.values())

    def bases(self, chunk: ChunkId, location: Location) -> tuple[ChunkId, ...]:
        """All bases of the record that holds the chunk; a bundle's stand only in the record itself.

        Of a bundle whose file is missing only the chunk's own base is known.
        """
        if location.base is None:
            return ()
        if location.members == 1:
            return (location.base,)
        try:
            return self._record(chunk, location)[0].bases
        except FileNotFoundError:
            return (location.base,)

    def share(self, chunk: ChunkId, location: Location) -> float:
        """Bytes of its record that a chunk answers for: those that share one do so by their plain size."""
        if location.members == 1:
            return location.stored_length
        return location.stored_length * location.plain_length / self.record_length(chunk, location)

    def record_length(self, chunk: ChunkId, location: Location) -> int:
        """Plain bytes of a chunk's record, at least 1; as though its chunks were all alike when that cannot be read."""
        try:
            whole = plain_length(self._files.read(location, HEAD_SIZE), self._where(chunk, location))
        except (CorruptError, FileNotFoundError):
            whole = location.plain_length * location.members
        return max(whole, 1)

    def read(self, chunk: ChunkId, known: Locations | None = None) -> memoryview:
        """The chunk's plain bytes, hashed."""
        known = {} if known is None else known
        out = memoryview(bytearray(self._location(chunk, known).plain_length))
        self.read_into(chunk, out, known)
        return out

    def can_read(self, chunk: ChunkId, known: Locations) -> bool:
        """Whether the chunk's bytes can be had as they were committed; reads and hashes them to know."""
        try:
            self.read(chunk, known)
        except (CorruptError, NotFoundError):
            return False
        return True

    def read_into(
        self, chunk: ChunkId, out: memoryview, known: Locations | None = None, lent: Lent = NOTHING_LENT
    ) -> None:
        """Write the chunk's plain bytes to ``out``, hashed after decoding. ``lent`` are plain chunks at hand already.

        ChunkNotFoundError when no record holds it; ChunkCorruptError when its bytes, or those of a chunk it
        is a delta against, are damaged. ``out`` holds anything then.
        """
        known = {} if known is None else known
        tried: int | None = None
        replaced, attempts, remembering = self._files.replaced, _MAX_MENDED, True
        while True:
            try:
                self._fill(chunk, out, known, lent)
                return
            except (FileNotFoundError, _RankError) as error:
                # A gc may have moved the chunk to another pack since it was located, or a repack turned its chain
                # round; of that the index may have had a part only.
                self._store.catch_up()
                applied = self._store.look(lambda view: view.applied)
                if applied == tried:
                    raise _lost(chunk, error) from None
                known, tried = {}, applied
            except (CorruptError, StorageError) as error:
                # What is damaged may have been mended since its file was opened, as another thread may know by now.
                before, replaced = replaced, self._files.drop_replaced()
                # Or another record lies by now where a bundle lay that is remembered, in a file that was closed since.
                remembered = remembering and isinstance(error, CorruptError) and len(self._bundles) > 0
                if (replaced == before and not remembered) or not attempts:
                    raise
                attempts, remembering = attempts - 1, False
                self._bundles = RecentPlains(BUNDLE_CACHE_BYTES)
                self._store.catch_up()
                known = {}

    def _fill(self, chunk: ChunkId, out: memoryview, known: Locations, lent: Lent) -> None:
        location = self._location(chunk, known)
        if location.plain_length != len(out):
            raise ChunkCorruptError(
                f"chunk {chunk.short} is {location.plain_length} bytes, {len(out)} expected; run `deltackpt verify`"
            )
        self._decode_chain(chunk, location, out, known, lent)
        if ChunkId.of(out) != chunk:
            raise ChunkCorruptError(
                f"{self._where(chunk, location)}: content hash does not match; run `deltackpt verify`"
            )

    def _decode_chain(self, chunk: ChunkId, location: Location, out: memoryview, known: Locations, lent: Lent) -> None:
        with self.cache.loan() as borrow:
            self._walk_chain(chunk, location, out, known, lambda wanted: lent.get(wanted) or borrow(wanted))

    def _walk_chain(
        self, chunk: ChunkId, location: Location, out: memoryview, known: Locations, borrow: Borrow
    ) -> None:
        plains: dict[ChunkId, memoryview] = {}
        pending: list[tuple[ChunkId, Location]] = [(chunk, location)]
        records: dict[_RecordKey, tuple[RecordHead, memoryview]] = {}
        while pending:
            current, place = pending[-1]
            if (current in plains and current != chunk) or self._from_memory(current, place, plains, borrow):
                pending.pop()
                continue
            key = (place.pack, place.offset)
            if key not in records:
                records[key] = self._record(current, place)
            head, payload = records[key]
            missing = [base for base in head.bases if base not in plains]
            if missing:
                pending.extend(self._below(current, head, base, known) for base in missing)
                continue
            target = out if current == chunk and len(head.members) == 1 else _room(head, len(plains))
            self._decode(current, place, head, payload, plains, target)
            pending.pop()
        if plains[chunk] is not out:
            out[:] = plains[chunk]

    def _from_memory(self, chunk: ChunkId, place: Location, plains: dict[ChunkId, memoryview], borrow: Borrow) -> bool:
        """Whether the chunk was in a cache; its bytes are in ``plains`` then."""
        plain = borrow(chunk)
        if plain is None and (bundle := self._bundles.get((place.pack, place.offset))) is not None:
            found = bundle[place.member_offset : place.member_offset + place.plain_length]
            plain = found if len(found) == place.plain_length else None
        if plain is not None:
            plains[chunk] = plain
        return plain is not None

    def _below(self, chunk: ChunkId, head: RecordHead, base: ChunkId, known: Locations) -> tuple[ChunkId, Location]:
        location = self._location(base, known)
        if location.rank >= head.rank:
            raise _RankError(
                f"chunk {chunk.short} of rank {head.rank} is a delta against {base.short} of rank {location.rank};"
                " run `deltackpt verify`"
            )
        return base, location

    def _record(self, chunk: ChunkId, place: Location) -> tuple[RecordHead, memoryview]:
        head, payload = check(memoryview(self._files.read(place)), self._where(chunk, place))
        if not any(member.id == chunk for member in head.members):
            raise ChunkCorruptError(f"{self._where(chunk, place)}: another chunk lies there; run `deltackpt verify`")
        return head, payload

    def _decode(
        self,
        chunk: ChunkId,
        place: Location,
        head: RecordHead,
        payload: memoryview,
        plains: dict[ChunkId, memoryview],
        target: memoryview,
    ) -> None:
        """Decode one record into ``target`` and note the plain bytes of its members."""
        # Decoding takes NumPy, which takes 0.1 s to import; log and branch, which decode nothing, go without.
        from deltackpt.codec.decode import decode

        base = _joined([plains[b] for b in head.bases])
        try:
            decode(head.recipe, Element(head.element), payload, target, base)
        except (CorruptError, ValueError) as error:
            raise ChunkCorruptError(f"{self._where(chunk, place)}: {error}; run `deltackpt verify`") from error
        at = 0
        for member in head.members:
            plains[member.id] = target[at : at + member.length] if len(head.members) > 1 else target
            at += member.length
        if len(head.members) > 1:
            self._bundles.put((place.pack, place.offset), target)

    def _location(self, chunk: ChunkId, known: Locations) -> Location:
        if chunk not in known:
            known.update(self.locate([chunk]))
        if chunk not in known and self._store.look(lambda view: view.is_lost(chunk)):
            raise ChunkLostError(
                f"chunk {chunk.short} is lost; run `deltackpt repair --from` a copy that has it,"
                " or commit a state that does"
            )
        if chunk not in known:
            # A key of the index may have rotted away.
            self._store.doubt()
            known.update(self.locate([chunk]))
        if chunk not in known:
            raise ChunkNotFoundError(f"chunk {chunk.short} is in no pack of the store; run `deltackpt verify`")
        return known[chunk]

    def _where(self, chunk: ChunkId, place: Location) -> str:
        return f"chunk {chunk.short} in {self._files.path(place)!r} at byte {place.offset}"


def _lost(chunk: ChunkId, error: FileNotFoundError | _RankError) -> ChunkCorruptError:
    if isinstance(error, _RankError):
        return error
    return ChunkCorruptError(
        f"chunk {chunk.short}: its file {error.filename!r} is missing; run `deltackpt verify` for the tensors affected"
    )


def _closure(view: View, wanted: list[ChunkId]) -> Locations:
    found: Locations = {}
    while wanted:
        chunk = wanted.pop()
        if chunk not in found and (location := view.chunk(chunk)) is not None:
            found[chunk] = location
            if location.base is not None:
                wanted.append(location.base)
    return found


def _room(head: RecordHead, slot: int) -> memoryview:
    """Memory for a record on the way to the chunk that is wanted.

    Bundles outlive the walk, in their cache. Small records are bases of bundles, many to a walk. Larger ones stand
    in a row, one chunk on the next, and each thread has memory for such a row.
    """
    if len(head.members) > 1 or head.plain_length < BUNDLED_BELOW:
        return memoryview(bytearray(head.plain_length))
    return scratch(slot, head.plain_length)


def _joined(plains: list[memoryview]) -> memoryview | None:
    if len(plains) <= 1:
        return plains[0] if plains else None
    return memoryview(b"".join(plains))
