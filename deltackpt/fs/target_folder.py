"""Writing a folder tree for the user: complete under its name, or not there at all.

1. The folder that is to hold it is opened once, and everything is done from there: whoever moves that folder, or puts a
   link in its place, moves what is written with it.
2. The tree grows under a temporary name beside the target. Nobody else knows that name, so its files need none.
3. Modes and times are set when everything is written, files and folders are synced, and the tree is renamed.
4. What stood there, if it may be replaced, is renamed aside first and removed last.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Self

from deltackpt.errors import InvalidInputError
from deltackpt.fs.beneath import folder_beneath, open_beneath, split
from deltackpt.fs.disk import Buffer, Disk, DiskFullError, storage_errors
from deltackpt.fs.remove import remove_tree
from deltackpt.fs.target import TargetExistsError
from deltackpt.fs.writeback import SYNC_EVERY, Writeback

_STEM_BYTES = 100
_SYNCED_TOGETHER = 128
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Finish:
    """What a file or folder gets when everything is written. Special bits stay those that it was made with."""

    path: str
    mode: int
    mtime_ns: int

    def apply(self, fd: int) -> None:
        os.fchmod(fd, self.mode & 0o777 | stat.S_IMODE(os.fstat(fd).st_mode) & 0o7000)
        os.utime(fd, ns=(self.mtime_ns, self.mtime_ns))


class TargetFolder:
    """A folder tree of ``size`` bytes at ``path``. A context manager: leaving it by an exception removes everything.

    TargetExistsError when something is at ``path`` and ``force`` is not given; what is neither a folder, a file
    nor a symbolic link is never replaced, and a link is replaced itself. Paths given to the methods are relative plain
    paths, each once, a folder before what is in it; the empty path is the tree's own folder.
    """

    def __init__(self, disk: Disk, path: str, size: int, *, force: bool = False) -> None:
        self._disk = disk
        self._path = path
        self._force = force
        self._above, self._name = _place(path)
        try:
            check_folder_target(self._above, self._name, path, force=force)
            _check_room(self._above, path, size)
            stem = os.fsdecode(os.fsencode(self._name)[:_STEM_BYTES])
            self._staged = f".{stem}.{os.urandom(6).hex()}.tmp"
            with storage_errors("creating", path):
                os.mkdir(self._staged, 0o700, dir_fd=self._above)
                self._root = os.open(self._staged, _FOLDER, dir_fd=self._above)
        except BaseException:
            os.close(self._above)
            raise
        self._files: list[_Finish] = []
        self._folders: list[_Finish] = []
        self._growing: set[GrowingFile] = set()
        self._syncer = ThreadPoolExecutor(1, thread_name_prefix="deltackpt-sync")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._settle()
                self._publish()
        except BaseException:
            self._abandon()
            raise
        else:
            if error is not None:
                self._abandon()
        finally:
            self._syncer.shutdown(wait=True)
            os.close(self._root)
            os.close(self._above)

    def folder(self, path: str, mode: int, mtime_ns: int) -> None:
        """Make a folder."""
        if path:
            folder, name = split(path)
            with storage_errors("creating", self._shown(path)), folder_beneath(self._root, folder) as fd:
                os.mkdir(name, 0o777, dir_fd=fd)
        self._folders.append(_Finish(path, mode, mtime_ns))

    def link(self, path: str, target: str, mtime_ns: int) -> None:
        """Make a symbolic link."""
        folder, name = split(path)
        with storage_errors("creating", self._shown(path)), folder_beneath(self._root, folder) as fd:
            os.symlink(target, name, dir_fd=fd)
            os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=fd, follow_symlinks=False)

    def file(self, path: str, size: int, mode: int, mtime_ns: int) -> GrowingFile:
        """Make a file, to be filled; it is closed when its last byte is written."""
        shown = self._shown(path)
        with storage_errors("creating", shown):
            fd = open_beneath(self._root, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._files.append(_Finish(path, mode, mtime_ns))
        try:
            self._disk.allocate(fd, size, shown)
        except BaseException:
            os.close(fd)
            raise
        writeback = Writeback(self._disk, fd, shown, self._syncer) if size >= SYNC_EVERY else None
        growing = GrowingFile(fd, size, shown, writeback, self._growing)
        growing.close_if_full()
        return growing

    def _settle(self) -> None:
        """Modes, times and syncs. Files are synced many at a time: the first of them writes the journal for all."""
        if self._growing:
            raise AssertionError(f"{len(self._growing)} files of {self._path!r} were not written to their end")
        files = iter(self._files)
        while batch := list(islice(files, _SYNCED_TOGETHER)):
            self._finish(batch)
        for folder in sorted(self._folders, key=lambda folder: folder.path.count("/") if folder.path else -1)[::-1]:
            with storage_errors("finishing", self._shown(folder.path)), folder_beneath(self._root, folder.path) as fd:
                folder.apply(fd)
                self._disk.sync(fd, self._shown(folder.path))

    def _finish(self, files: Sequence[_Finish]) -> None:
        opened: list[tuple[int, str]] = []
        try:
            for file in files:
                shown = self._shown(file.path)
                with storage_errors("finishing", shown):
                    fd = open_beneath(self._root, file.path, os.O_RDONLY)
                    opened.append((fd, shown))
                    file.apply(fd)
            for fd, shown in opened:
                self._disk.sync(fd, shown)
        finally:
            for fd, _ in opened:
                os.close(fd)

    def _publish(self) -> None:
        """Rename the tree to its name; what is there goes aside, and comes back if that fails."""
        aside = self._set_aside() if self._force else None
        try:
            self._rename()
        except BaseException:
            if aside is not None:
                _rename(self._above, aside, self._name)
            raise
        self._disk.sync(self._above, self._path)
        if aside is not None:
            with storage_errors("removing what was replaced by", self._path):
                remove_tree(self._above, aside)

    def _rename(self) -> None:
        with storage_errors("renaming to", self._path):
            try:
                _rename(self._above, self._staged, self._name)
            except OSError as error:
                if error.errno in _TAKEN:
                    raise _exists(self._path) from None
                raise

    def _set_aside(self) -> str | None:
        check_folder_target(self._above, self._name, self._path, force=True)
        aside = f"{self._staged.removesuffix('.tmp')}.old"
        try:
            with storage_errors("renaming", self._path):
                _rename(self._above, self._name, aside)
        except FileNotFoundError:
            return None
        return aside

    def _abandon(self) -> None:
        for growing in list(self._growing):
            growing.abandon()
        with contextlib.suppress(OSError):
            remove_tree(self._above, self._staged)

    def _shown(self, path: str) -> str:
        return os.path.join(self._path, path) if path else self._path


class GrowingFile:
    """A file of a tree that is being written. ``write_at`` may be called from several threads, each byte once."""

    def __init__(self, fd: int, size: int, shown: str, writeback: Writeback | None, growing: set[GrowingFile]) -> None:
        self._fd = fd
        self._left = size
        self._shown = shown
        self._writeback = writeback
        self._growing = growing
        self._lock = threading.Lock()
        growing.add(self)

    def write_at(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        size = len(view)
        with storage_errors("writing", self._shown):
            while len(view):
                written = os.pwrite(self._fd, view, offset)
                view, offset = view[written:], offset + written
        if self._writeback is not None:
            self._writeback.wrote(size)
        with self._lock:
            self._left -= size
        self.close_if_full()

    def close_if_full(self) -> None:
        """Close the file once every byte is there."""
        with self._lock:
            if self._left or self not in self._growing:
                return
            self._growing.discard(self)
        if self._writeback is not None:
            self._writeback.settle()
        os.close(self._fd)

    def abandon(self) -> None:
        """Close it as it is; nobody may be writing."""
        if self._writeback is not None:
            self._writeback.abandon()
        self._growing.discard(self)
        os.close(self._fd)


def check_folder_target(above: int, name: str, path: str, *, force: bool) -> None:
    """TargetExistsError unless a folder may be written under ``name`` in the open folder ``above``."""
    try:
        mode = os.stat(name, dir_fd=above, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise TargetExistsError(f"{path!r} exists and is no folder; choose another target")
    if not force:
        raise _exists(path)


def _place(path: str) -> tuple[int, str]:
    """The folder that is to hold ``path``, open, and the name in it."""
    if "\0" in path:
        raise InvalidInputError(f"cannot write {path!r}: a path cannot hold a NUL character")
    above, name = os.path.split(os.path.abspath(path))
    if not name:
        raise InvalidInputError(f"cannot write {path!r}: the root of a file system is never replaced")
    try:
        return os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), name
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidInputError(f"cannot write {path!r}: folder {above!r} does not exist") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise InvalidInputError(f"cannot write {path!r}: {reason}; choose another target") from error


def _check_room(above: int, path: str, size: int) -> None:
    room = os.fstatvfs(above)
    free = room.f_bavail * room.f_frsize
    if size > free:
        raise DiskFullError(f"{path!r} needs {size} bytes, {free} are free; free some room and try again")


def _rename(folder: int, source: str, target: str) -> None:
    os.rename(source, target, src_dir_fd=folder, dst_dir_fd=folder)


def _exists(path: str) -> TargetExistsError:
    return TargetExistsError(f"{path!r} exists already; replace it with --force (force=True), or choose another target")
