"""Where a store's index lives: in the store, or on this machine where that cannot be.

An LMDB environment must lie on a local disk, and a folder that this user alone can write: whoever can write to it
decides what this process reads.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from functools import cache

from deltackpt.chunkstore.layout import Layout
from deltackpt.errors import StorageError
from deltackpt.fs.kind import filesystem_kind, is_network
from deltackpt.ids import ChunkId

_TEMPORARY = ("/tmp", "/var/tmp")


class NoLocalFolderError(StorageError):
    """The index cannot live in the store, nor anywhere on this machine."""


def index_folder(layout: Layout, store_id: bytes) -> str:
    """Where the index of the store at ``layout`` lives; one line of the program's log says when one is begun elsewhere.

    Not each time: a job that runs every hour would have nothing else to say.
    """
    reason = _why_not_inside(layout)
    if reason is None:
        return layout.index
    folder = _local_folder(store_id, layout.root, reason)
    if not os.path.exists(folder):
        _say_once(f"store {layout.root!r} {reason}, so its index is kept on this machine, in {folder!r}")
    return folder


def _why_not_inside(layout: Layout) -> str | None:
    if not os.access(layout.root, os.W_OK | os.X_OK):
        return "is read-only"
    if is_network(layout.root):
        return f"is on a network share ({filesystem_kind(layout.root)})"
    data = os.path.join(layout.index, "lmdb")
    folders = (layout.index, data)
    files = (os.path.join(layout.index, "lock"), os.path.join(data, "data.mdb"))
    if not all(os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK) for path in filter(os.path.lexists, folders)):
        return "has an index folder that this user cannot write"
    if not all(os.access(path, os.R_OK | os.W_OK) for path in filter(os.path.exists, files)):
        return "has an index that this user cannot write"
    return None


def _local_folder(store_id: bytes, root: str, reason: str) -> str:
    """A folder of this machine. Copies of a store share their id but not their fate: each place has its own."""
    name = f"{store_id.hex()}-{ChunkId.of(os.path.realpath(root).encode(errors='surrogateescape')).short}"
    objections = []
    for base in dict.fromkeys(_candidates()):
        objection = _objection(base)
        if objection is None:
            return os.path.join(base, name, "index")
        objections.append(f"{base!r} {objection}")
    raise NoLocalFolderError(
        f"store {root!r} {reason}, and its index finds no place on this machine: {'; '.join(objections)};"
        " set XDG_CACHE_HOME or TMPDIR to a folder of your own on a local disk"
    )


def _candidates() -> Iterator[str]:
    """The user's cache, then what any machine has: containers often have no home."""
    # 20 ms to import, which stores on a local disk do not pay.
    import tempfile

    import platformdirs

    own = f"deltackpt-{os.geteuid()}"
    yield platformdirs.user_cache_dir("deltackpt", appauthor=False)
    with contextlib.suppress(FileNotFoundError):
        yield os.path.join(tempfile.gettempdir(), own)
    yield from (os.path.join(folder, own) for folder in _TEMPORARY)


def _objection(base: str) -> str | None:
    """What is wrong with a folder for indexes, which is made when it is missing; None when nothing is.

    Others can make names in a temporary folder, and would choose what is read from one of theirs.
    """
    try:
        os.makedirs(base, mode=0o700, exist_ok=True)
        status = os.lstat(base)
    except OSError as error:
        return f"cannot be made ({os.strerror(error.errno or 0)})"
    if not stat.S_ISDIR(status.st_mode):
        return "is a symbolic link"
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by others"
    if not os.access(base, os.W_OK | os.X_OK):
        return "cannot be written"
    return f"is on a network share ({filesystem_kind(base)})" if is_network(base) else None


@cache
def _say_once(message: str) -> None:
    import logging

    logging.getLogger("deltackpt").warning(message)
