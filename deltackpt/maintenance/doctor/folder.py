"""The files in a store's folder: how many, how large, what was left behind, and what this user may not read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deltackpt.chunkstore.facts import StoreFacts
from deltackpt.chunkstore.layout import Layout, epoch_named, is_retired, pack_named, record_number
from deltackpt.fs.disk import Disk
from deltackpt.fs.lock import is_held
from deltackpt.ids import PackId
from deltackpt.maintenance.doctor.checkup import StoreFigures, Trouble


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was when we looked; ``age`` in seconds."""

    path: str
    size: int
    age: float

    @property
    def name(self) -> str:
        return os.path.basename(self.path)


@dataclass(frozen=True, slots=True)
class Folder:
    """Everything in the folders of a store. ``growing`` is being written by somebody, ``abandoned`` is not.

    ``quarantine`` is None when this user may not list it.
    """

    packs: Sequence[File]
    records: Sequence[File]
    segments: Sequence[File]
    growing: Sequence[File]
    abandoned: Sequence[File]
    index: Sequence[File]
    quarantine: Sequence[File] | None

    def figures(self, facts: StoreFacts) -> StoreFigures:
        return StoreFigures(
            format=facts.format,
            store_id=facts.store_id,
            created=facts.created,
            chunk_bytes=facts.chunk_bytes,
            packs=len(self.packs),
            pack_bytes=_size(self.packs),
            records=len(self.records),
            segments=len(self.segments),
            log_bytes=_size(self.records) + _size(self.segments),
            index_bytes=_size(self.index),
            tmp_bytes=_size(self.growing) + _size(self.abandoned),
            writers=len(self.growing),
            quarantined=[file.name for file in self.quarantine or ()],
            quarantine_bytes=_size(self.quarantine or ()),
        )


def look_at_folder(disk: Disk, layout: Layout, index_folder: str) -> Folder:
    shelves = [os.path.join(layout.packs, name) for name in disk.names(layout.packs)]
    packs = [file for shelf in shelves for file in _files(disk, shelf) if pack_named(file.name) is not None]
    epochs = [layout.epoch(epoch) for epoch in filter(None, map(epoch_named, disk.names(layout.log)))]
    retired = [os.path.join(layout.tmp, name) for name in disk.names(layout.tmp) if is_retired(name)]
    staged = [file for file in _files(disk, layout.log) if file.name.startswith(".")]
    unfinished = [*staged, *(file for folder in (layout.tmp, *retired) for file in _files(disk, folder))]
    growing = [file for file in unfinished if is_held(file.path)]
    return Folder(
        packs=packs,
        records=[file for folder in epochs for file in _files(disk, folder) if record_number(file.name) is not None],
        segments=_files(disk, layout.segments),
        growing=growing,
        abandoned=[file for file in unfinished if file not in growing],
        quarantine=_files(disk, layout.quarantine) if _may_list(layout.quarantine) else None,
        index=[*_files(disk, index_folder), *_files(disk, os.path.join(index_folder, "lmdb"))],
    )


def folder_troubles(folder: Folder, published: Mapping[PackId, int] | None) -> Iterator[Trouble]:
    """``published`` are the packs that the log knows, with their sizes; None when that cannot be told."""
    if folder.abandoned:
        yield Trouble(f"{_told(folder.abandoned)} of writers that did not finish lie in tmp and log", "`deltackpt gc`")
    if published is not None and (damaged := _damaged(folder, published)):
        more = f", and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        yield Trouble(
            f"pack {damaged[0].short} is missing or has not its length{more}",
            "`deltackpt repair` says what that costs, and fetches it `--from` a copy",
        )
    strays = [f for f in folder.packs if published is not None and pack_named(f.name) not in published]
    if strays:
        yield Trouble(
            f"{_told(strays)} are packs that no log record names: a writer died, is at work, or a gc was interrupted",
            "`deltackpt gc` removes those that are older than an hour",
        )
    if folder.quarantine is None:
        yield Trouble(
            "folder 'quarantine' cannot be listed by this user; all else works but a repair",
            "let its owner run `chmod u+rwx,g+rwx` on it",
        )
    unreadable = [f for f in (*folder.packs, *folder.records, *folder.segments) if not os.access(f.path, os.R_OK)]
    if unreadable:
        yield Trouble(
            f"{_told(unreadable)} cannot be read by this user, such as {unreadable[0].path!r}",
            f"let their owner run `chmod u+r,g+r` on them; {_owner(unreadable[0])}",
        )


def _damaged(folder: Folder, published: Mapping[PackId, int]) -> list[PackId]:
    """Packs whose file is not there, or of another size than it was written."""
    found = {pack_named(file.name): file.size for file in folder.packs}
    return sorted(pack for pack, size in published.items() if found.get(pack) != size)


def _files(disk: Disk, folder: str) -> list[File]:
    found = []
    for name in disk.names(folder):
        path = os.path.join(folder, name)
        try:
            status = os.stat(path)
        except OSError:
            continue
        if not os.path.isdir(path):
            found.append(File(path, status.st_size, time.time() - status.st_mtime))
    return found


def _may_list(folder: str) -> bool:
    return not os.path.exists(folder) or os.access(folder, os.R_OK | os.X_OK)


def _size(files: Sequence[File]) -> int:
    return sum(file.size for file in files)


def _told(files: Sequence[File]) -> str:
    """``2 files, 1234 bytes, the oldest 3 hours old,``."""
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    return f"{count}, {_size(files)} bytes, the oldest {_hours(max(file.age for file in files))} old,"


def _hours(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def _owner(file: File) -> str:
    return f"its owner is user {os.stat(file.path).st_uid}"
