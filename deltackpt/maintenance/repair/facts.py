"""A damaged ``store.json``: what it said follows from what stands beside it."""

from __future__ import annotations

import datetime
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from deltackpt.chunkstore.facts import MAX_FACTS_BYTES, NotAStoreError, StoreFacts, read_facts, write_facts
from deltackpt.chunkstore.layout import Layout, epoch_named
from deltackpt.chunkstore.log import Log
from deltackpt.chunkstore.reserve import reserve_held
from deltackpt.errors import CorruptError, FormatError, UnsupportedError
from deltackpt.fs.disk import Disk
from deltackpt.ids import EpochId
from deltackpt.maintenance.repair.plan import Mend
from deltackpt.maintenance.repair.quarantine import keep_copy


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
    except UnsupportedError:
        raise
    except (FormatError, NotAStoreError):
        first = _first_epoch(disk, layout)
        if first is None:
            raise
    legible = _legible(disk, layout)
    fresh = StoreFacts.new(_created(disk, layout, first), reserve_held(disk, layout))
    told = {"epoch": str(first), "store_id": _id(legible) or fresh.store_id}
    if isinstance(size := legible.get("chunk_bytes"), int) and 0 < size < 1 << 27:
        told["chunk_bytes"] = size  # type: ignore[assignment]
    facts = msgspec.structs.replace(fresh, **told)
    return FactsRepair(disk, layout, msgspec.structs.replace(facts, check=facts.checksum()), needed=True)


def _first_epoch(disk: Disk, layout: Layout) -> EpochId | None:
    """The epoch in which record 1 stands; None when that cannot be told."""
    if segments := Log(disk, layout, EpochId(bytes(EpochId.size))).segments():
        return segments[0][1]
    epochs = list(filter(None, map(epoch_named, disk.names(layout.log))))
    first = [epoch for epoch in epochs if disk.exists(layout.record(epoch, 1))]
    return first[0] if len(first) == 1 else epochs[0] if len(epochs) == 1 and not first else None


def _legible(disk: Disk, layout: Layout) -> dict[str, Any]:
    """What the damaged file seems to say."""
    with suppress(FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(disk.read(layout.facts, MAX_FACTS_BYTES), type=dict[str, Any])
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
