"""What kind of file system a path lies on: an LMDB environment must not live on a network share."""

from __future__ import annotations

import os

_SHARES = ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "afs"]
_CLUSTERS = ["ceph", "lustre", "glusterfs", "beegfs", "gpfs", "panfs", "orangefs", "wekafs"]
_FUSE = ["fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse"]
NETWORK_KINDS = frozenset([*_SHARES, *_CLUSTERS, *_FUSE])

_UNIX = ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "tmpfs", "overlay", "ntfs3"]
LINKING_KINDS = frozenset([*_UNIX, "nfs", "nfs4", "ceph", "lustre", "beegfs", "gpfs", "glusterfs"])
LINKLESS_KINDS = frozenset(["vfat", "msdos", "exfat", "fuse.exfat", "fuse.s3fs", "fuse.gcsfuse"])


def filesystem_kind(path: str) -> str:
    """The kernel's name for the file system of ``path`` (``ext4``, ``nfs4``, ...), or ``unknown``."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            lines = mounts.read().splitlines()
    except OSError:
        return "unknown"
    best, kind = "", "unknown"
    target = os.path.realpath(path)
    for line in lines:
        left, _, right = line.partition(" - ")
        mount = _unescaped(left.split()[4])
        if len(mount) >= len(best) and _lies_below(target, mount):
            best, kind = mount, right.split()[0]
    return kind


def _unescaped(mount: str) -> str:
    """The path of a mount point: the kernel writes blanks, tabs, line breaks and backslashes in octal."""
    for code in (" ", "\t", "\n", "\\"):
        mount = mount.replace(f"\\{ord(code):03o}", code)
    return mount


def _lies_below(path: str, mount: str) -> bool:
    return mount == "/" or path == mount or path.startswith(mount + "/")


def is_network(path: str) -> bool:
    return filesystem_kind(path) in NETWORK_KINDS


def has_hard_links(path: str) -> bool | None:
    """Whether files there can have a second name, as publishing needs; None for a kind that we know nothing of."""
    kind = filesystem_kind(path)
    return True if kind in LINKING_KINDS else False if kind in LINKLESS_KINDS else None
