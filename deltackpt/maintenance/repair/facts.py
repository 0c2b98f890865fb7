"""A damaged ``store.json``: what it said follows from what stands beside it."""

from __future__ import annotations

import datetime
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from deltackpt.chunkstore.facts import (
    MAX_FACTS_BYTES,
    READABLE,
    NotAStoreError,
    StoreFacts,
    facts_meant,
    read_facts,
    write_facts,
)
from deltackpt.chunkstore.layout import Layout, epoch_named
from deltackpt.chunkstore.log import Log
from deltackpt.chunkstore.reserve import reserve_held
from deltackpt.errors import CorruptError
from deltackpt.fs.disk import Disk
from deltackpt.ids import EpochId
from deltackpt.maintenance.repair.plan import Mend
from deltackpt.maintenance.repair.quarantine import keep_copy

# Nothing in store.json needs an escape, nor digits without end.
_FIELD = re.compile(rb'"([a-z_]+)": *("[ !#-\[\]-~]*"|0|[1-9][0-9]{0,18})')


@dataclass(frozen=True, slots=True)
class FactsRepair:
    """The facts of a store, and whether they have to be written anew."""

    disk: Disk
    layout: Layout
    facts: StoreFacts
    needed: bool

    def mends(self) -> list[Mend]:
        what = f"{self.layout.facts!r} is damaged or missing"
        aside = self.layout.facts if self.disk.exists(self.layout.facts) else ""
        return [Mend(what, "written anew, from the log beside it", aside)] if self.needed else []

    def execute(self) -> None:
        """Do it. The index knows the store's id, so it is built again when that had to be chosen anew."""
        keep_copy(self.disk, self.layout, self.layout.facts, os.path.basename(self.layout.facts))
        write_facts(self.disk, self.layout, self.facts)


def plan_facts(disk: Disk, layout: Layout) -> FactsRepair:
    """NotAStoreError when there is nothing that they could be derived from; UnsupportedError when they are newer."""
    try:
        return FactsRepair(disk, layout, read_facts(disk, layout), needed=False)
    except (CorruptError, NotAStoreError):
        first = _first_epoch(disk, layout)
        if first is None:
            raise
    legible = _legible(disk, layout)
    facts = _meant(legible) or _derived(disk, layout, first, legible)
    return FactsRepair(disk, layout, facts, needed=True)


def _meant(legible: dict[str, Any]) -> StoreFacts | None:
    """All of them, when nothing is damaged but the format and what stands between the fields."""
    with suppress(msgspec.ValidationError):
        return facts_meant(msgspec.convert(legible, StoreFacts))
    return None


def _derived(disk: Disk, layout: Layout, first: EpochId, legible: dict[str, Any]) -> StoreFacts:
    """From what lies beside them, and what is still legible and possible."""
    facts = StoreFacts.new(_created(disk, layout, first), reserve_held(disk, layout))
    facts = msgspec.structs.replace(facts, epoch=str(first), store_id=_id(legible) or facts.store_id)
    if legible.get("format") in READABLE:
        facts = msgspec.structs.replace(facts, format=legible["format"])
    if isinstance(size := legible.get("chunk_bytes"), int) and 0 < size < 1 << 27:
        facts = msgspec.structs.replace(facts, chunk_bytes=size)
    return msgspec.structs.replace(facts, check=facts.checksum())


def _first_epoch(disk: Disk, layout: Layout) -> EpochId | None:
    """The epoch in which record 1 stands; None when that cannot be told."""
    if segments := Log(disk, layout, EpochId(bytes(EpochId.size))).segments():
        return segments[0][1]
    epochs = list(filter(None, map(epoch_named, disk.names(layout.log))))
    first = [epoch for epoch in epochs if disk.exists(layout.record(epoch, 1))]
    return first[0] if len(first) == 1 else epochs[0] if len(epochs) == 1 and not first else None


def _legible(disk: Disk, layout: Layout) -> dict[str, Any]:
    """What the fields of the damaged file seem to say, whatever stands between them."""
    with suppress(FileNotFoundError):
        found = _FIELD.findall(disk.read(layout.facts, MAX_FACTS_BYTES))
        return {name.decode(): msgspec.json.decode(value) for name, value in found}
    return {}


def _id(legible: dict[str, Any]) -> str | None:
    told = legible.get("store_id")
    with suppress(ValueError):
        return told if isinstance(told, str) and len(bytes.fromhex(told)) == 16 else None
    return None


def _created(disk: Disk, layout: Layout, first: EpochId) -> str:
    """When the first record was made, for people."""
    made = 0.0
    with suppress(CorruptError):
        if (record := Log(disk, layout, first).read(first, 1)) is not None:
            made = record.record.time_ns / 1e9
    return datetime.datetime.fromtimestamp(made or os.stat(layout.log).st_mtime, datetime.UTC).isoformat("T", "seconds")
