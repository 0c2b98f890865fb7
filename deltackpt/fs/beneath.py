"""Opening things below a folder and nowhere else, whatever others do to the paths meanwhile.

Each step of a path is opened by itself, from the folder before it, and no symbolic link is followed: what
``openat2`` does with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, on every system. Paths are relative, with ``/`` between
their steps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

MAX_STEP_BYTES = 255
MAX_STEPS = 256

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def is_plain_path(path: str) -> bool:
    """Whether every step of ``path`` is a name: not empty, ``.`` or ``..``, without NUL and no longer than names are.

    Control characters, line breaks and bytes that are no UTF-8 (as surrogates) are names like any other.
    """
    steps = path.split("/")
    return len(steps) <= MAX_STEPS and all(map(_is_name, steps))


def _is_name(step: str) -> bool:
    return step not in ("", ".", "..") and "\0" not in step and len(os.fsencode(step)) <= MAX_STEP_BYTES


def split(path: str) -> tuple[str, str]:
    """The path of the folder that holds ``path``, empty for the uppermost, and the name in it."""
    folder, _, name = path.rpartition("/")
    return folder, name


@contextmanager
def folder_beneath(root: int, path: str) -> Iterator[int]:
    """A descriptor of the folder at ``path`` below ``root``, open while the block runs; the empty path is ``root``."""
    fd = os.dup(root)
    try:
        for step in path.split("/") if path else ():
            below = os.open(step, _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def open_beneath(root: int, path: str, flags: int, mode: int = 0o666) -> int:
    """Open the file at ``path`` below ``root``; OSError when a step of it is a link or is not there."""
    folder, name = split(path)
    with folder_beneath(root, folder) as fd:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=fd)
