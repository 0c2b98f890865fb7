"""The index against the log: every row must be what a replay comes to, and every chunk that is in use must have one.

Beside busy writers the two are never quite at the same record. So a row that differs is only a suspect: once all rows
have been looked at, the replay is brought forward and the suspects are looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

import numpy as np

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.chunkstore.location import Location, inline_record
from deltackpt.chunkstore.view import View
from deltackpt.formats.wording import listed
from deltackpt.ids import ChunkId, CommitId
from deltackpt.maintenance.verify.contents import Replay
from deltackpt.maintenance.verify.report import Finding
from deltackpt.maintenance.verify.rows import RowComparison

_ROWS_AT_ONCE = 100_000
_TRIES = 100


def compare_index(store: ChunkStore, replay: Replay) -> Iterator[Finding]:
    """What the index has otherwise than the log."""
    suspects = set(_differing(store, replay))
    different: list[str] = []
    for _ in range(_TRIES):
        replay.advance()
        store.catch_up()
        position, found = store.look(lambda view: (view.position, list(_differences(view, replay, suspects))))
        if position == replay.position:
            different = found
            break
    if different:
        yield Finding(
            f"the index in {store.index.folder!r} is not what the log says: {listed(different, 3)}",
            f"remove the folder {store.index.folder!r}; the next command builds the index again",
        )


def _differing(store: ChunkStore, replay: Replay) -> Iterator[ChunkId]:
    """Chunks whose row is not where the replay has them, or that have one of the two only."""
    matching = 0
    start = b""
    comparison = RowComparison(replay.holdings)
    while rows := store.look(partial(_some_rows, start=start)):
        chunks, locations = zip(*rows, strict=True)
        same = comparison.matches(chunks, locations)
        matching += int(same.sum())
        yield from (ChunkId(chunks[at]) for at in np.flatnonzero(~same))
        start = chunks[-1] + b"\0"
    if matching < len(replay.in_use):
        known = iter(list(replay.in_use))
        while some := list(islice(known, _ROWS_AT_ONCE)):
            yield from store.look(lambda view, some=some: [chunk for chunk in some if view.chunk(chunk) is None])  # type: ignore[misc]


def _some_rows(view: View, start: bytes) -> list[tuple[bytes, bytes]]:
    return list(islice(view.chunk_rows(start), _ROWS_AT_ONCE))


def _is_at(replay: Replay, chunk: ChunkId, location: Location) -> bool:
    """Whether the chunk's record is where the row says. One in a pack that cannot be read is at least not elsewhere."""
    place = replay.in_use.get(chunk)
    if place is None:
        return location.pack in replay.frames.findings
    head = place.entry.head
    told = (location.pack, location.offset, location.stored_length, location.members, location.recipe, location.rank)
    if told != (place.pack, place.entry.offset, head.stored_length, len(head.members), head.recipe, head.rank):
        return False
    at = 0
    for position, member in enumerate(head.members):
        if member.id == chunk:
            base = head.bases[position] if head.bases else None
            return (location.member_offset, location.plain_length, location.base) == (at, member.length, base)
        at += member.length
    return False


def _differences(view: View, replay: Replay, suspects: Iterable[ChunkId]) -> Iterator[str]:
    if view.refs() != replay.refs:
        yield "branches or tags differ"
    if set(view.order()) != set(replay.commits):
        yield "commits differ"
    if (
        view.packs().keys() != {pack for pack in replay.packs if inline_record(pack) is None}
        or view.condemned() != replay.condemned
    ):
        yield "packs differ"
    if view.lost() != replay.lost:
        yield "lost chunks differ"
    for commit in replay.commits:
        row = view.commit(commit)
        if row is None or CommitId(ChunkId.of(row.data)) != commit:
            yield f"commit {commit.short} differs"
        told = {part: (commit, part) in replay.purged for part in replay.deleted.get(commit, ())}
        if view.deleted(commit) != told:
            yield f"what is deleted of commit {commit.short} differs"
    for chunk in sorted(suspects):
        location = view.chunk(chunk)
        if (location is None and chunk in replay.in_use) or (location and not _is_at(replay, chunk, location)):
            yield f"chunk {chunk.short} differs"
