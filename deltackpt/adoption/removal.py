"""Removing an original that was compared with its commit, and nothing that came after the comparison.

What is there is noted before the comparison. Then it is set aside, into a folder beside it, so that whoever writes to
the path writes to something new, and looked at once more. Only what is still as it was noted is removed:

1. ``.NAME.COMMIT.RANDOM.importing``  what was set aside, and has not been looked at yet
2. ``.NAME.COMMIT.RANDOM.imported``   what was looked at; some of it may be removed already

A removal that is interrupted leaves one of these. Its first kind goes back to its place. The second goes, once all that
is left in it is what the commit holds.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from deltackpt.adoption.search import Place
from deltackpt.errors import StorageError
from deltackpt.formats.wording import shown_path
from deltackpt.fs.remove import remove_tree
from deltackpt.fs.tree import Found, changed, open_tree, walk
from deltackpt.ids import CommitId

_STEM_BYTES = 100
_ASIDE = re.compile(r"\..*\.(?P<commit>[0-9a-f]{64})\.[0-9a-f]{8}\.(?P<stage>importing|imported)\Z", re.DOTALL)

Noted = tuple[Found, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Original:
    """A checkpoint as it was: of each file the size, the time it was written, and which file it is."""

    place: Place
    noted: tuple[Noted, ...]

    @classmethod
    def noted_at(cls, place: Place) -> Self:
        return cls(place, tuple(_noted(os.path.join(place.folder, name)) for name in place.members))

    def remove(self, commit: CommitId) -> None:
        """Remove it with all that is in it; no link is followed. ``commit`` is what holds it.

        ChangedError, with it back in its place, when it is not what was noted any more.
        """
        with _removing(self.place.path), _opened(self.place.folder) as fd:
            aside = Aside(self.place.folder, self._name(commit))
            os.mkdir(aside.name, 0o700, dir_fd=fd)
            try:
                for name in self.place.members:
                    os.rename(name, f"{aside.name}/{name}", src_dir_fd=fd, dst_dir_fd=fd)
                now = tuple(_noted(os.path.join(aside.path, name)) for name in self.place.members)
            except BaseException:
                aside.put_back()
                raise
            if now != self.noted:
                aside.put_back()
                raise changed(self.place.path)
            done = Aside(aside.folder, aside.name.removesuffix("importing") + "imported")
            os.rename(aside.name, done.name, src_dir_fd=fd, dst_dir_fd=fd)
            # What is removed in part must be known as such after a crash.
            os.fsync(fd)
            done.remove()

    def _name(self, commit: CommitId) -> str:
        name = os.path.basename(os.path.abspath(self.place.path))
        stem = os.fsdecode(os.fsencode(name)[:_STEM_BYTES])
        return f".{stem}.{commit}.{os.urandom(4).hex()}.importing"


@dataclass(frozen=True, slots=True)
class Aside:
    """The folder ``name`` in ``folder`` in which an original was set aside."""

    folder: str
    name: str

    @property
    def path(self) -> str:
        return os.path.join(self.folder, self.name)

    @property
    def commit(self) -> CommitId:
        """The commit that holds the original."""
        match = _ASIDE.match(self.name)
        assert match is not None
        return CommitId.from_hex(match["commit"])

    @property
    def is_checked(self) -> bool:
        """Whether what was set aside was looked at, so that some of it may be gone."""
        return self.name.endswith(".imported")

    def put_back(self) -> bool:
        """Everything in it to where it was, but for what somebody has put there meanwhile; whether all of it went."""
        with _opened(self.folder) as fd:
            for name in sorted(os.listdir(self.path)):
                if not os.path.lexists(os.path.join(self.folder, name)):
                    os.rename(f"{self.name}/{name}", name, src_dir_fd=fd, dst_dir_fd=fd)
            with contextlib.suppress(OSError):
                os.rmdir(self.name, dir_fd=fd)
            os.fsync(fd)
        return not os.path.lexists(self.path)

    def remove(self) -> None:
        """All that is left in it; no link is followed."""
        with _removing(self.path), _opened(self.folder) as fd:
            remove_tree(fd, self.name)
            os.fsync(fd)


def asides_in(folder: str) -> list[Aside]:
    """What interrupted removals have left in ``folder``."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [Aside(folder, name) for name in sorted(names) if _ASIDE.match(name)]


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
