"""The policy that a store keeps for itself: ``keep.toml`` in its folder, written by us or by hand."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from deltackpt.chunkstore.chunk_store import ChunkStore
from deltackpt.errors import InvalidInputError
from deltackpt.fs.lock import hold
from deltackpt.maintenance.keep import Keep


class NoPolicyError(InvalidInputError):
    """Nothing says what to keep."""


def read_policy(store: ChunkStore) -> Keep | None:
    """The store's policy, or None when it has none; InvalidInputError says what is wrong with the file."""
    path = store.layout.policy
    return Keep.from_toml(Path(path)) if store.disk.exists(path) else None


def the_policy(store: ChunkStore) -> Keep:
    """The store's policy; NoPolicyError when it has none."""
    policy = read_policy(store)
    if policy is None:
        raise NoPolicyError(
            f"nothing says what to keep: {store.layout.policy!r} does not exist; give options such as --keep-last 3,"
            " and --save to keep them there"
        )
    return policy


def write_policy(store: ChunkStore, keep: Keep) -> None:
    """Make ``keep`` the store's policy, durably, in the place of the one that it had."""
    disk, layout = store.disk, store.layout
    staged = os.path.join(layout.tmp, f"{os.urandom(8).hex()}.toml")
    disk.make_directory(layout.tmp)
    fd = disk.create(staged)
    try:
        hold(fd)
        disk.write(fd, [f"# What `deltackpt prune` keeps in this store.\n{keep.to_toml()}".encode()], staged)
        disk.sync(fd, staged)
        disk.rename(staged, layout.policy)
    except BaseException:
        with contextlib.suppress(OSError):
            disk.unlink(staged)
        raise
    finally:
        disk.close(fd, staged)
    disk.sync_directory(layout.root)
