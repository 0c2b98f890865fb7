"""Damaged files are put aside, never removed: the store's folder ``quarantine/`` keeps them for whoever knows more."""

from __future__ import annotations

import os
from contextlib import suppress

from deltackpt.chunkstore.layout import Layout
from deltackpt.fs.disk import Disk


def put_aside(disk: Disk, layout: Layout, path: str, name: str) -> None:
    """Move a damaged file to quarantine; one that is not there any more is there already.

    Not by ``rename``: of one between two folders a power loss may leave neither name.
    """
    keep_copy(disk, layout, path, name)
    disk.unlink(path)
    disk.sync_directory(os.path.dirname(path))


def keep_copy(disk: Disk, layout: Layout, path: str, name: str) -> None:
    """Give a damaged file, if there is one, a second name in quarantine, durably."""
    if not disk.exists(path):
        return
    disk.make_directory(layout.quarantine)
    disk.sync_directory(layout.root)
    taken = set(disk.names(layout.quarantine))
    names = [name, *(f"{name}.{again}" for again in range(1, len(taken) + 1))]
    places = {n: os.path.join(layout.quarantine, n) for n in names}
    # Another repair may have moved it meanwhile.
    with suppress(FileNotFoundError):
        if not any(n in taken and os.path.samefile(path, places[n]) for n in names):
            disk.link(path, next(places[n] for n in names if n not in taken))
    # Also when the name was there: whoever gave it may not have got to this line.
    disk.sync_directory(layout.quarantine)
