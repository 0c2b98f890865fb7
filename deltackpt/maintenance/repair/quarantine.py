"""Damaged files are put aside, never removed: the store's folder ``quarantine/`` keeps them for whoever knows more."""

from __future__ import annotations

import os

from deltackpt.chunkstore.layout import Layout
from deltackpt.fs.disk import Disk


def put_aside(disk: Disk, layout: Layout, path: str, name: str) -> None:
    """Move a damaged file to quarantine, durably; one that is not there any more is there already."""
    target = _target(disk, layout, name)
    try:
        disk.rename(path, target)
    except FileNotFoundError:
        return
    # The new name first: between the two, a power loss may leave both, never none.
    disk.sync_directory(layout.quarantine)
    disk.sync_directory(os.path.dirname(path))


def keep_copy(disk: Disk, layout: Layout, path: str, name: str) -> None:
    """Give a damaged file, which is about to be replaced, a second name in quarantine, if there is one."""
    if disk.exists(path):
        disk.link(path, _target(disk, layout, name))
        disk.sync_directory(layout.quarantine)


def _target(disk: Disk, layout: Layout, name: str) -> str:
    disk.make_directory(layout.quarantine)
    disk.sync_directory(layout.root)
    taken = set(disk.names(layout.quarantine))
    free = next(n for n in (name, *(f"{name}.{again}" for again in range(1, len(taken) + 2))) if n not in taken)
    return os.path.join(layout.quarantine, free)
