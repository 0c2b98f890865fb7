"""Removing a folder tree, without ever following a link out of it."""

from __future__ import annotations

import contextlib
import os
import stat

from deltackpt.fs.beneath import folder_beneath, split


def remove_tree(root: int, path: str) -> None:
    """Remove what stands at ``path`` below the open folder ``root``: a file, a link, or a folder with what is in it.

    OSError for what the file system refuses; folders that forbid writing are opened up first.
    """
    above, name = split(path)
    with folder_beneath(root, above) as fd:
        if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=fd)
            return
    folders = [path]
    for folder in folders:
        folders += [f"{folder}/{below}" for below in _emptied(root, folder)]
    for folder in reversed(folders):
        above, name = split(folder)
        with folder_beneath(root, above) as fd:
            os.rmdir(name, dir_fd=fd)


def _emptied(root: int, path: str) -> list[str]:
    """Remove what is no folder from the folder at ``path``; the names of the others."""
    below = []
    with folder_beneath(root, path) as fd, os.scandir(fd) as entries:
        with contextlib.suppress(OSError):
            os.fchmod(fd, 0o700)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=fd)
    return below
