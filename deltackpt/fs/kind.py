"""What kind of file system a path lies on: an LMDB environment must not live on a network share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_SHARES = ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "afs", "afpfs", "webdav"]
_CLUSTERS = ["ceph", "lustre", "glusterfs", "beegfs", "gpfs", "panfs", "orangefs", "wekafs"]
# macOS does not say what lies behind a FUSE mount; mostly it is sshfs.
_FUSE = ["fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse", "macfuse", "osxfuse"]
NETWORK_KINDS = frozenset([*_SHARES, *_CLUSTERS, *_FUSE])

_UNIX = ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "tmpfs", "overlay", "ntfs3"]
LINKING_KINDS = frozenset([*_UNIX, "nfs", "nfs4", "ceph", "lustre", "beegfs", "gpfs", "glusterfs"])
LINKLESS_KINDS = frozenset(["vfat", "msdos", "exfat", "fuse.exfat", "fuse.s3fs", "fuse.gcsfuse"])

_LINE_OF_MOUNT = re.compile(r".* on (/.*) \(([^,)]+)[^()]*\)")

Mount = tuple[str, str]
"""A mount point, and the name of its file system's kind."""


def filesystem_kind(path: str) -> str:
    """The system's name for the file system of ``path`` (``ext4``, ``nfs4``, ...), or ``unknown``."""
    best, kind = "", "unknown"
    target = os.path.realpath(path)
    for mount, found in _mounts():
        if len(mount) >= len(best) and _lies_below(target, mount):
            best, kind = mount, found
    return kind


def _mounts() -> Iterator[Mount]:
    """What is mounted where, in order: as Linux keeps it, else as ``mount`` prints it."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            lines = mounts.read().splitlines()
    except OSError:
        yield from _printed_mounts()
        return
    for line in lines:
        left, _, right = line.partition(" - ")
        yield _unescaped(left.split()[4]), right.split()[0]


def _printed_mounts() -> Iterator[Mount]:
    """The mounts of macOS and the BSDs: ``server:/data on /Volumes/data (nfs, nodev, nosuid)``."""
    # 10 ms to import, which Linux does not pay.
    import subprocess

    try:
        printed = subprocess.run(["mount"], capture_output=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return
    for line in os.fsdecode(printed).splitlines():
        if match := _LINE_OF_MOUNT.fullmatch(line):
            yield match[1], match[2]


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
