"""A look around a store: what it stands on, how it is doing, and what could be done about it. Changes nothing.

It works from the folder, not from an open store: one that does not open is the one that needs it.
"""

from __future__ import annotations

import os
from itertools import chain

from deltackpt.chunkstore.facts import StoreFacts, read_facts
from deltackpt.chunkstore.index_folder import index_folder
from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.log import Log
from deltackpt.errors import CorruptError, FormatError
from deltackpt.fs.disk import Disk
from deltackpt.maintenance.doctor.checkup import Checkup, Trouble
from deltackpt.maintenance.doctor.folder import folder_troubles, look_at_folder
from deltackpt.maintenance.doctor.machine import disk_troubles, look_at_disk, versions
from deltackpt.maintenance.doctor.records import RESTORE, look_at_index, look_at_log, position_troubles


def examine(path: str) -> Checkup:
    """Look around the store in the folder ``path``. NotAStoreError when there is none."""
    disk, layout = Disk(), Layout(os.path.abspath(path))
    troubles: list[Trouble] = []
    facts = _facts(disk, layout, troubles)
    if facts is None:
        return Checkup(layout.root, versions(), look_at_disk(disk, layout, 0), None, None, None, tuple(troubles))
    log = Log(disk, layout, facts.first_epoch)
    if not disk.exists(layout.log):
        troubles.append(Trouble(f"folder {layout.log!r} is missing, and with it all commits", RESTORE))
    found_log = look_at_log(log, troubles)
    index_at = index_folder(layout, facts.key)
    found_index = look_at_index(index_at, facts.key, log, troubles)
    folder = look_at_folder(disk, layout, index_at)
    found_disk = look_at_disk(disk, layout, facts.reserve_bytes)
    last = None if found_log is None else found_log.last
    # A gc says in the log which packs go before it removes their files.
    current = found_index is not None and found_index.figures.applied == last == log.length()
    if found_index is not None and last is not None:
        troubles.extend(position_troubles(found_index, log, last))
    troubles.extend(
        chain(
            folder_troubles(folder, found_index.packs if current and found_index is not None else None),
            disk_troubles(found_disk, layout, 0 if found_index is None else found_index.newest_bytes),
        )
    )
    return Checkup(
        layout.root,
        versions(),
        found_disk,
        folder.figures(facts),
        found_log,
        None if found_index is None else found_index.figures,
        tuple(troubles),
    )


def _facts(disk: Disk, layout: Layout, troubles: list[Trouble]) -> StoreFacts | None:
    try:
        return read_facts(disk, layout)
    except (CorruptError, FormatError) as error:
        what, _, advice = str(error).partition("; ")
        troubles.append(Trouble(what, advice))
        return None
