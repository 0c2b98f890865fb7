"""A folder tree as it is found: every file, folder and symbolic link below a folder, and no link followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from deltackpt.errors import InvalidInputError, LimitError, NotFoundError, StorageError
from deltackpt.fs.beneath import MAX_STEPS, folder_beneath, split

_MAX_FOLLOWED = 40
"""As many links as the kernel follows before it calls it a loop."""

MAX_FOUND = 1 << 20
"""What one tree may hold: its description is held in memory, some hundred bytes for each."""


class ChangedError(InvalidInputError):
    """Somebody wrote to what was being read. What was read may be half old and half new."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file. ``place`` is the device and number of its inode."""

    path: str
    mode: int
    mtime_ns: int
    size: int
    place: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FoundFolder:
    path: str
    mode: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class FoundLink:
    """A symbolic link, with the text in it."""

    path: str
    mtime_ns: int
    target: str


Found: TypeAlias = FoundFile | FoundFolder | FoundLink


@contextmanager
def open_tree(path: str) -> Iterator[int]:
    """A descriptor of the folder ``path``, which may be a link to one; open while the block runs."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError(f"{_shown(path)}: no such folder") from None
    except OSError as error:
        raise StorageError(f"{_shown(path)}: cannot be opened: {error.strerror}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def walk(root: int, name: str, members: Collection[str] | None = None) -> tuple[Found, ...]:
    """Everything below the open folder ``root``, itself first under the empty path, folders before what is in them.

    With ``members`` nothing else of the folder itself is looked at. ``name`` is what errors call the folder.
    InvalidInputError for what is no file, folder or link, such as a socket; StorageError for what cannot be read,
    ChangedError for what vanishes meanwhile, LimitError.
    """
    found: list[Found] = []
    pending = [""]
    while pending:
        path = pending.pop()
        with _reading(os.path.join(name, path)), folder_beneath(root, path) as fd:
            found.append(_folder(path, os.fstat(fd)))
            below = list(_below(fd, path, name, None if path else members))
        found += [one for one in below if not isinstance(one, FoundFolder)]
        pending += [one.path for one in below if isinstance(one, FoundFolder)]
        if len(found) + len(pending) > MAX_FOUND:
            raise LimitError(f"{_shown(name)}: more than {MAX_FOUND} files and folders; commit them in parts")
    return tuple(sorted(found, key=lambda one: os.fsencode(one.path)))


def _below(fd: int, path: str, name: str, members: Collection[str] | None) -> Iterator[Found]:
    with os.scandir(fd) as entries:
        for entry in entries:
            if members is not None and entry.name not in members:
                continue
            below = f"{path}/{entry.name}" if path else entry.name
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                place = (status.st_dev, status.st_ino)
                yield FoundFile(below, stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_size, place)
            elif stat.S_ISDIR(status.st_mode):
                if below.count("/") >= MAX_STEPS:
                    raise LimitError(f"{_shown(os.path.join(name, below))}: lies deeper than {MAX_STEPS} folders")
                yield _folder(below, status)
            elif stat.S_ISLNK(status.st_mode):
                yield FoundLink(below, status.st_mtime_ns, os.readlink(entry.name, dir_fd=fd))
            else:
                kind = "a FIFO" if stat.S_ISFIFO(status.st_mode) else "a device or socket"
                raise InvalidInputError(f"{_shown(os.path.join(name, below))}: {kind} cannot be committed; remove it")


def _folder(path: str, status: os.stat_result) -> FoundFolder:
    return FoundFolder(path, stat.S_IMODE(status.st_mode), status.st_mtime_ns)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise changed(path) from None
    except OSError as error:
        raise StorageError(f"{_shown(path)}: cannot be read: {error.strerror}") from error


def changed(path: str) -> ChangedError:
    return ChangedError(f"{_shown(path)}: changed while it was being read; commit it when its writer is done")


def outside(links: Mapping[str, str], path: str) -> bool:
    """Whether the symbolic link at ``path`` of a tree leads out of it, by way of any of its ``links``.

    What is not there leads nowhere, and a loop never leaves.
    """
    return resolved(links, path) is None


def resolved(links: Mapping[str, str], path: str) -> str | None:
    """Where ``path`` of a tree leads by way of its ``links``; None for out of it. A loop leads to one of its links."""
    pending = path.split("/")[::-1]
    at = ""
    followed = 0
    while pending:
        step = pending.pop()
        if step in ("", "."):
            continue
        if step == "..":
            if not at:
                return None
            at = split(at)[0]
            continue
        here = f"{at}/{step}" if at else step
        target = links.get(here)
        if target is None:
            at = here
            continue
        followed += 1
        if target.startswith("/"):
            return None
        if followed > _MAX_FOLLOWED:
            return here
        pending += target.split("/")[::-1]
    return at


def _shown(path: str) -> str:
    return path if path.isprintable() else repr(path)
