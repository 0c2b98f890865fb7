"""What a look around a store finds: plain values, the same for people and for programs."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that will hurt, or does, and what to do about it."""

    what: str
    advice: str


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """The facts of a store, and the bytes and files in its folder. ``writers`` are packs that grow just now.

    ``quarantined`` are the names of damaged files that a repair has put aside."""

    format: int
    store_id: str
    created: str
    chunk_bytes: int
    packs: int
    pack_bytes: int
    records: int
    segments: int
    log_bytes: int
    index_bytes: int
    tmp_bytes: int
    writers: int
    quarantined: Sequence[str]
    quarantine_bytes: int


@dataclass(frozen=True, slots=True)
class DiskFigures:
    """Where the store lies. ``hard_links`` is None when nobody knows; ``free_names`` are inodes, None without end."""

    kind: str
    network: bool
    hard_links: bool | None
    total_bytes: int
    free_bytes: int
    free_names: int | None
    reserve_bytes: int
    reserved_bytes: int
    writable: bool


@dataclass(frozen=True, slots=True)
class IndexFigures:
    """The index as it is. ``applied`` is the last log record in it, ``rows`` counts them by table."""

    folder: str
    kind: str
    applied: int
    file_bytes: int
    map_bytes: int
    page_bytes: int
    pages: int
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LogFigures:
    """The log's last record, and when its writer's clock said that it was made."""

    last: int
    time: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class Checkup:
    """Everything at once. What could not be looked at is None; ``troubles`` says why."""

    path: str
    versions: Mapping[str, str]
    disk: DiskFigures
    store: StoreFigures | None
    log: LogFigures | None
    index: IndexFigures | None
    troubles: tuple[Trouble, ...]

    @property
    def ok(self) -> bool:
        return not self.troubles
