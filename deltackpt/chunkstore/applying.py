"""What one log record changes in the tables of the index."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from deltackpt.chunkstore.location import inline_pack, inline_record, locations
from deltackpt.chunkstore.log_record import Annotation, LogRecord, Published
from deltackpt.chunkstore.pack import PackEntry
from deltackpt.chunkstore.record import parse_head
from deltackpt.chunkstore.rows import (
    ANNOTATED,
    APPLIED,
    CONDEMNED,
    DELETIONS,
    EPOCH,
    INLINE,
    LEAVING,
    LOST,
    OPENED,
    ORPHAN,
    TAIL,
    CommitRow,
    PackRow,
    annotated_key,
    decode_commit,
    deleted_key,
    encode,
)
from deltackpt.chunkstore.tables import Tables
from deltackpt.chunkstore.view import View
from deltackpt.ids import ChunkId, CommitId, PackId

Row = tuple[bytes, bytes]


def chunk_rows(published: Published, packs: Mapping[PackId, Sequence[PackEntry]]) -> list[Row]:
    """The rows of all chunks that the record brings."""
    rows: list[Row] = [
        (chunk, location.pack_row())
        for added in published.record.packs
        if added.id in packs
        for entry in packs[PackId(added.id)]
        for chunk, location in locations(PackId(added.id), entry.offset, entry.head)
    ]
    for entry in inline_entries(published):
        rows.extend(
            (chunk, at.pack_row())
            for chunk, at in locations(inline_pack(published.epoch, published.number), entry.offset, entry.head)
        )
    unused = frozenset(published.record.duplicates)
    return [row for row in rows if row[0] not in unused] if unused else rows


def inline_entries(published: Published) -> Iterator[PackEntry]:
    """The records that a log record carries; offsets count from the start of its file."""
    view = memoryview(published.inline)
    at = 0
    while at < len(view):
        head = parse_head(view[at:], f"log record {published.number} inline byte {at}")
        yield PackEntry(published.inline_offset + at, head)
        at += head.stored_length


def put_rows(rows: list[Row], tables: Tables, takes_over: bool) -> None:
    """The first published copy stays in use, but for those of a superseding record, which take over."""
    view = View(tables)
    lost = view.lost()
    for key, row in rows:
        # The row that is there may be of a pack that is gone.
        if not tables.put(b"chunks", key, row, overwrite=takes_over) and view.pack_of(ChunkId(key)) is None:
            tables.put(b"chunks", key, row)
        if key in lost:
            tables.delete(b"meta", LOST + key)


def remove_rows(chunks: Iterable[bytes], tables: Tables) -> None:
    for chunk in chunks:
        tables.delete(b"chunks", chunk)


def sweep_rows(tables: Tables, leaving: Collection[bytes], start: bytes, most: int) -> bytes | None:
    """Remove those of ``most`` rows of chunks that are of ``leaving`` packs; where to go on, None at the end."""
    rows = list(islice(tables.items(b"chunks", start), most))
    remove_rows((chunk for chunk, row in rows if row[: PackId.size] in leaving), tables)
    return rows[-1][0] + b"\0" if len(rows) == most else None


def forget_packs(packs: Iterable[bytes], tables: Tables) -> None:
    """No row points into ``packs`` any more."""
    for pack in packs:
        tables.delete(b"meta", LEAVING + pack)


def is_listed(tables: Tables, pack: PackId) -> bool:
    """Whether rows may point into the pack."""
    inline = inline_record(pack)
    if inline is not None:
        return tables.get(b"meta", INLINE + inline.epoch) is not None
    row = View(tables).pack(pack)
    return row is not None and row.listed


def apply_facts(tables: Tables, published: Published, listed: Collection[PackId]) -> None:
    """All but the rows of chunks: packs, history, and that the record is in the index."""
    _apply_packs(tables, published.number, published.record, listed)
    if published.inline and tables.get(b"meta", INLINE + published.epoch) is None:
        tables.put(b"meta", INLINE + published.epoch, b"")
    _apply_history(tables, published.number, published.record)
    tables.put(b"meta", APPLIED, published.number.to_bytes(8, "big"))
    if published.record.sealed:
        tables.put(b"meta", EPOCH, published.record.sealed)
        tables.put(b"meta", OPENED, published.number.to_bytes(8, "big"))
    tables.put(b"meta", TAIL, published.record.write_id)


def _apply_packs(tables: Tables, number: int, record: LogRecord, listed: Collection[PackId]) -> None:
    for added in record.packs:
        row = PackRow(added.size, added.records, number, PackId(added.id) in listed)
        tables.put(b"packs", added.id, encode(row), overwrite=False)
    for pack in record.condemned:
        tables.put(b"meta", CONDEMNED + pack, number.to_bytes(8, "big"))
    for pack in (*record.revived, *record.gone):
        tables.delete(b"meta", CONDEMNED + pack)
    for pack in record.gone:
        if is_listed(tables, PackId(pack)):
            tables.put(b"meta", LEAVING + pack, b"")
        tables.delete(b"packs", pack)
    for pack in record.orphans:
        tables.put(b"meta", ORPHAN + pack, b"")
    for chunk in record.lost:
        tables.put(b"meta", LOST + chunk, b"")
    if any((record.superseding, record.condemned, record.gone, record.forgotten, record.orphans, record.lost)):
        tables.put(b"meta", DELETIONS, number.to_bytes(8, "big"))


def _apply_history(tables: Tables, number: int, record: LogRecord) -> None:
    for move in record.refs:
        if move.new is None:
            tables.delete(b"refs", move.name.encode())
        else:
            tables.put(b"refs", move.name.encode(), move.new)
    brought = {CommitId(ChunkId.of(commit.data)): commit for commit in record.commits}
    # A commit that another record has brought stays in its place: it is listed once.
    ids = [commit for commit in brought if tables.get(b"commits", commit) is None]
    for commit in ids:
        row = CommitRow(number, brought[commit].stored_bytes, brought[commit].data)
        tables.put(b"commits", commit, encode(row))
    if ids:
        tables.put(b"order", number.to_bytes(8, "big"), b"".join(ids))
    for dropped in record.dropped:
        _drop_commit(tables, dropped)
    _apply_deletions(tables, record)
    _apply_annotations(tables, record.annotated)


def _apply_deletions(tables: Tables, record: LogRecord) -> None:
    for piece in record.deleted:
        tables.put(b"meta", deleted_key(piece), encode((piece.part, False)), overwrite=False)
    for piece in record.undeleted:
        tables.delete(b"meta", deleted_key(piece))
    for piece in record.purged:
        tables.put(b"meta", deleted_key(piece), encode((piece.part, True)))


def _apply_annotations(tables: Tables, annotated: Iterable[Annotation]) -> None:
    for note in annotated:
        key = annotated_key(note.commit, note.name)
        if note.value is None:
            tables.delete(b"meta", key)
        else:
            tables.put(b"meta", key, encode((note.name, note.value)))


def _drop_commit(tables: Tables, commit: bytes) -> None:
    row = tables.get(b"commits", commit)
    if row is None:
        return
    place = decode_commit(row).number.to_bytes(8, "big")
    published = tables.get(b"order", place) or b""
    left = b"".join(published[i : i + 32] for i in range(0, len(published), 32) if published[i : i + 32] != commit)
    tables.delete(b"commits", commit)
    for key, _ in list(View(tables).marked(ANNOTATED + commit)):
        tables.delete(b"meta", ANNOTATED + commit + key)
    if left:
        tables.put(b"order", place, left)
    else:
        tables.delete(b"order", place)
