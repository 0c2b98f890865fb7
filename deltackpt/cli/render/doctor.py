"""What a look around a store found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from deltackpt.cli.text import counted, moment, percent, shown, size
from deltackpt.maintenance.doctor.checkup import Checkup, DiskFigures, IndexFigures, StoreFigures

_KNOWN = {True: "yes", False: "no", None: "unknown"}


def checkup_lines(found: Checkup) -> Iterator[str]:
    for label, text in _facts(found):
        yield f"{label:<12}{text}"
    yield ""
    for trouble in found.troubles:
        yield f"PROBLEM {shown(trouble.what)}"
        yield f"  {shown(trouble.advice)}"
    yield "nothing to complain about" if found.ok else counted(len(found.troubles), "problem")


def _facts(found: Checkup) -> Iterator[tuple[str, str]]:
    yield "versions", ", ".join(f"{name} {version}" for name, version in found.versions.items())
    yield "store", shown(found.path)
    if found.store is not None:
        yield from _store(found.store)
    yield from _disk(found.disk)
    if found.log is not None:
        made = "" if found.log.time is None else f", made {moment(found.log.time)}"
        yield "log", f"last record {found.log.last:,}{made}"
    if found.index is not None:
        yield from _index(found.index)


def _store(store: StoreFigures) -> Iterator[tuple[str, str]]:
    yield "format", f"{store.format}, id {store.store_id}, made {shown(store.created)}"
    yield (
        "files",
        (
            f"{counted(store.packs, 'pack')} of {size(store.pack_bytes)},"
            f" {counted(store.records, 'log record')} of {size(store.log_bytes)}, index {size(store.index_bytes)},"
            f" tmp {size(store.tmp_bytes)}"
        ),
    )
    yield "writers", f"{store.writers} at work"
    if store.quarantined:
        kept = f"{counted(len(store.quarantined), 'damaged file')} of {size(store.quarantine_bytes)}"
        yield "quarantine", f"{kept}: {', '.join(map(shown, store.quarantined))}"


def _disk(disk: DiskFigures) -> Iterator[tuple[str, str]]:
    where = "network share" if disk.network else "local"
    yield "disk", f"{shown(disk.kind)}, {where}, hard links: {_KNOWN[disk.hard_links]}"
    free = percent(disk.free_bytes / disk.total_bytes) if disk.total_bytes else "all"
    names = "" if disk.free_names is None else f", room for {counted(disk.free_names, 'file')}"
    yield "free", f"{size(disk.free_bytes)} of {size(disk.total_bytes)} ({free}){names}"
    yield "reserve", f"{size(disk.reserved_bytes)} of {size(disk.reserve_bytes)}"


def _index(index: IndexFigures) -> Iterator[tuple[str, str]]:
    yield "index", f"{shown(index.folder)} ({shown(index.kind)}), at record {index.applied:,}"
    pages = f"{counted(index.pages, 'page')} of {size(index.page_bytes)}"
    rows = ", ".join(f"{name} {count:,}" for name, count in index.rows.items())
    yield "lmdb", f"{size(index.file_bytes)} of a map of {size(index.map_bytes)}, {pages}; rows: {rows}"


def checkup_document(found: Checkup) -> dict[str, Any]:
    return {"ok": found.ok, **asdict(found)}
