"""The machine around a store: versions, and the disk that the store lies on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator

from deltackpt.chunkstore.layout import Layout
from deltackpt.chunkstore.reserve import reserve_held
from deltackpt.fs.disk import Disk
from deltackpt.fs.kind import filesystem_kind, has_hard_links, is_network
from deltackpt.maintenance.doctor.checkup import DiskFigures, Trouble

_PACKAGES = ("deltackpt", "numpy", "zstandard", "blake3", "xxhash", "msgspec", "torch")
_FEW_NAMES = 1000


def versions() -> dict[str, str]:
    """What takes part in reading and writing a store."""
    import lmdb

    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | {"py-lmdb": lmdb.__version__, "lmdb": ".".join(map(str, lmdb.version()))}


def look_at_disk(disk: Disk, layout: Layout, reserve_bytes: int) -> DiskFigures:
    """The file system of the store's folder."""
    room = os.statvfs(layout.root)
    return DiskFigures(
        kind=filesystem_kind(layout.root),
        network=is_network(layout.root),
        hard_links=has_hard_links(layout.root),
        total_bytes=room.f_blocks * room.f_frsize,
        free_bytes=disk.free_bytes(layout.root),
        free_names=room.f_favail if room.f_files else None,
        reserve_bytes=reserve_bytes,
        reserved_bytes=reserve_held(disk, layout),
        writable=os.access(layout.root, os.W_OK) and os.access(layout.log, os.W_OK),
    )


def disk_troubles(found: DiskFigures, layout: Layout, newest_bytes: int) -> Iterator[Trouble]:
    """``newest_bytes`` is what the newest commit added."""
    if found.hard_links is False:
        yield Trouble(
            f"{found.kind} has no hard links, which publishing needs",
            "put the store on a local disk or an NFS share",
        )
    if not found.writable:
        yield _unwritable(layout.root)
        return
    if found.free_bytes < newest_bytes:
        yield Trouble(
            f"{found.free_bytes} bytes are free, the newest commit took {newest_bytes}: the next one may not fit",
            "`deltackpt prune`, then `deltackpt gc`",
        )
    if found.free_names is not None and found.free_names < _FEW_NAMES:
        yield Trouble(
            f"the disk has room for {found.free_names} more files only",
            "`deltackpt prune`, then `deltackpt gc`, or remove other files",
        )
    if found.reserved_bytes < found.reserve_bytes:
        yield Trouble(
            f"{found.reserved_bytes} of {found.reserve_bytes} bytes are reserved for deleting on a full disk",
            "free some room; `deltackpt gc` sets it aside again",
        )


def _unwritable(root: str) -> Trouble:
    if os.statvfs(root).f_flag & os.ST_RDONLY:
        return Trouble(
            f"{root!r} is mounted read-only; reading works", "for writing: mount it so that it can be written"
        )
    return Trouble(
        f"{root!r} cannot be written by this user; reading works",
        f"for writing: chown or `chmod -R u+rwX,g+rwX {root}`",
    )
