"""Removing an original that was compared with its commit, and nothing that came after the comparison.

What is there is noted before the comparison. Then it is renamed, so that whoever writes to the path writes to something
new, and removed only when it is still what was noted. A removal that is interrupted leaves it under the other name,
``.NAME.<random>.imported`` beside, all of it stored.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from deltackpt.errors import StorageError
from deltackpt.formats.wording import shown_path
from deltackpt.fs.remove import remove_tree
from deltackpt.fs.tree import Found, changed, open_tree, walk

_STEM_BYTES = 100

Noted = tuple[Found, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Original:
    """A file or folder as it was: of each file the size, the time it was written, and which file it is."""

    path: str
    noted: Noted

    @classmethod
    def noted_at(cls, path: str) -> Self:
        return cls(path, _noted(path))

    def remove(self) -> None:
        """Remove it with all that is in it; no link is followed. ChangedError, with it back in its place, when it is
        not what was noted any more.
        """
        above, name = os.path.split(os.path.abspath(self.path))
        stem = os.fsdecode(os.fsencode(name)[:_STEM_BYTES])
        aside = f".{stem}.{os.urandom(6).hex()}.imported"
        with _removing(self.path), _opened(above) as fd:
            os.rename(name, aside, src_dir_fd=fd, dst_dir_fd=fd)
            if _noted(os.path.join(above, aside)) != self.noted:
                # What somebody has put there meanwhile is not written over.
                if not os.path.lexists(self.path):
                    os.rename(aside, name, src_dir_fd=fd, dst_dir_fd=fd)
                raise changed(self.path)
            remove_tree(fd, aside)
            os.fsync(fd)


def _noted(path: str) -> Noted:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    with open_tree(path) as root:
        return walk(root, path)


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _removing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{shown_path(path)}: stored and compared, but cannot be removed: {error.strerror}; remove it by hand"
        ) from error
