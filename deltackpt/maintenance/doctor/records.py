"""The log and the index of a store, as far as they can be looked at without changing either."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deltackpt.chunkstore.environments import shared_environment
from deltackpt.chunkstore.index import Index
from deltackpt.chunkstore.log import Log
from deltackpt.chunkstore.log_record import Position
from deltackpt.chunkstore.tables import IndexDamagedError
from deltackpt.chunkstore.view import View
from deltackpt.errors import DeltackptError
from deltackpt.fs.kind import filesystem_kind, is_network
from deltackpt.ids import PackId
from deltackpt.maintenance.doctor.checkup import IndexFigures, LogFigures, Trouble

_SKEW_SECONDS = 60
RESTORE = "`deltackpt verify` says what depends on it; restore the file from a copy, or `deltackpt repair`"


@dataclass(frozen=True, slots=True)
class IndexLook:
    """What the index says; ``packs`` have the sizes of their files, ``newest_bytes`` came with the newest commit."""

    figures: IndexFigures
    position: Position
    tail: bytes
    packs: Mapping[PackId, int]
    newest_bytes: int


def look_at_log(log: Log, troubles: list[Trouble]) -> LogFigures | None:
    """The log's end; None when it cannot be read up to there. What is wrong goes to ``troubles``."""
    faults = [_trouble(error) for error in log.faults()]
    troubles.extend(faults)
    try:
        newest = next((published.record.time_ns for published in log.latest_first()), None)
    except DeltackptError:
        return None
    troubles.extend(_clock_troubles(newest))
    made = None if newest is None else datetime.datetime.fromtimestamp(newest / 1e9, datetime.UTC)
    return LogFigures(log.length(), made)


def look_at_index(folder: str, key: bytes, log: Log, troubles: list[Trouble]) -> IndexLook | None:
    """The index of the store called ``key``; None when there is none that can be trusted."""
    # Opening one that is not there would make a folder for it.
    if not os.path.exists(os.path.join(folder, "lmdb", "data.mdb")):
        troubles.append(Trouble(f"there is no index in {folder!r}", "nothing: the next command builds it"))
        return None
    if is_network(folder):
        troubles.append(
            Trouble(
                f"the index in {folder!r} lies on a network share, where LMDB is not safe",
                "let $XDG_CACHE_HOME name a folder on a local disk",
            )
        )
    try:
        with Index(folder, key, log.start).view() as view:
            said = (view.position, view.tail, _pack_sizes(view), _newest_bytes(view))
        figures = shared_environment(os.path.realpath(folder)).figures()
    except (IndexDamagedError, DeltackptError) as error:
        troubles.append(
            Trouble(f"the index in {folder!r} cannot be used ({error})", "nothing: the next command builds it again")
        )
        return None
    position, tail, packs, newest_bytes = said
    size = os.stat(os.path.join(folder, "lmdb", "data.mdb")).st_size
    kind = filesystem_kind(folder)
    found = IndexFigures(
        folder, kind, position.number, size, figures.map_bytes, figures.page_bytes, figures.pages, figures.rows
    )
    return IndexLook(found, position, tail, packs, newest_bytes)


def position_troubles(look: IndexLook, log: Log, last: int) -> Iterator[Trouble]:
    """Where the index stands against the log."""
    applied = look.figures.applied
    if applied > last:
        yield Trouble(f"the index has seen log record {applied}, and the last one in the log is {last}", RESTORE)
    elif applied < last:
        behind = "1 record" if last - applied == 1 else f"{last - applied} records"
        yield Trouble(f"the index is {behind} behind the log", "nothing: the next command catches up")
    if applied <= last and applied and _write_id(log, look.position) not in (look.tail, None):
        yield Trouble(
            f"the index was made from another log: record {applied} is not the one that it knows",
            "nothing: the next command builds it again",
        )


def _write_id(log: Log, position: Position) -> bytes | None:
    try:
        published = log.find(position)
    except DeltackptError:
        return None
    return published.record.write_id if published is not None else None


def _pack_sizes(view: View) -> dict[PackId, int]:
    return {pack: row.size for pack, row in view.packs().items()}


def _newest_bytes(view: View) -> int:
    newest = view.newest()
    row = view.commit(newest) if newest is not None else None
    return row.stored_bytes if row is not None else 0


def _clock_troubles(newest: int | None) -> Iterator[Trouble]:
    ahead = 0.0 if newest is None else newest / 1e9 - time.time()
    if ahead > _SKEW_SECONDS:
        yield Trouble(
            f"the newest log record was made {datetime.timedelta(seconds=round(ahead))} from now: some clock is wrong",
            "set this machine's clock, or the writer's; only times shown and --keep-within depend on it",
        )


def _trouble(error: DeltackptError) -> Trouble:
    return Trouble(str(error).partition("; ")[0], RESTORE)
