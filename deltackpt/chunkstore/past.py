"""What tells that a repair has changed the past: records of the log that were replaced, or put where one was missing.

Whoever knows the log up to some record relies on it never changing. A repair is the one exception, and leaves a name
in quarantine before it changes anything. So the names there say which past is meant, at the cost of one listing.
"""

from __future__ import annotations

import os

import xxhash

from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import StorageError
from deltackpt.fs.disk import Disk

_OF_THE_LOG = (".rec", ".seg")


def past(disk: Disk, layout: Layout) -> bytes:
    """Another value for each past that the store had; empty as long as no repair has changed it."""
    try:
        names = [name for name in disk.names(layout.quarantine) if any(kind in name for kind in _OF_THE_LOG)]
    except StorageError as error:
        if not isinstance(error.__cause__, PermissionError):
            raise
        # To somebody else's names everybody is told when the last one came.
        names = [str(disk.changed(layout.quarantine))]
    return xxhash.xxh3_128_digest(os.fsencode("\n".join(names))) if names else b""
