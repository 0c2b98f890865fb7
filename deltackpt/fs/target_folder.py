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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Self

from deltackpt.errors import InvalidInputError
from deltackpt.fs.attributes import Attributes
from deltackpt.fs.beneath import folder_beneath, open_beneath, split
from deltackpt.fs.descriptors import Descriptors
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

    def apply(self, fd: int, attributes: Attributes, shown: str) -> None:
        mode = self.mode & 0o777 | stat.S_IMODE(os.fstat(fd).st_mode) & 0o7000
        attributes.put_on(fd, mode, self.mtime_ns, shown)


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
        self._attributes = Attributes()
        self._descriptors = Descriptors(self._opened)
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
            self._descriptors.close()
            os.close(self._root)
            os.close(self._above)

    @property
    def staged(self) -> str:
        """Where the tree grows, for a library that writes by path; :meth:`take_in` what it has written."""
        return os.path.join(os.path.dirname(os.path.abspath(self._path)), self._staged)

    def take_in(self) -> int:
        """Note the files and folders that a library made, and their modes and times; returns the bytes of all files.

        It must be called when everything is there, and instead of the other methods.
        """
        size = 0
        with storage_errors("listing", self._path):
            for at, folders, files, fd in os.fwalk(".", dir_fd=self._root):
                for name in (*folders, *files):
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    path = os.path.normpath(os.path.join(at, name))
                    finish = _Finish(path, stat.S_IMODE(status.st_mode), status.st_mtime_ns)
                    if stat.S_ISDIR(status.st_mode):
                        self._folders.append(finish)
                    else:
                        self._files.append(finish)
                        size += status.st_size
        return size

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
            self._attributes.put_on_link(name, fd, mtime_ns, self._shown(path))

    def file(self, path: str, size: int, mode: int, mtime_ns: int) -> GrowingFile:
        """Make a file, to be filled: each of its bytes is written once."""
        shown = self._shown(path)
        with storage_errors("creating", shown):
            fd = open_beneath(self._root, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._files.append(_Finish(path, mode, mtime_ns))
        kept = size >= SYNC_EVERY
        try:
            self._disk.allocate(fd, size, shown)
        except BaseException:
            kept = False
            raise
        finally:
            if not kept:
                os.close(fd)
        if not kept:
            return GrowingFile(partial(self._descriptors.lend, path), size, shown, self._growing)
        writeback = Writeback(self._disk, fd, shown, self._syncer)
        return LargeFile(fd, size, shown, self._growing, writeback)

    def _opened(self, path: str) -> int:
        return open_beneath(self._root, path, os.O_WRONLY)

    def _settle(self) -> None:
        """Modes, times and syncs. Files are synced many at a time: the first of them writes the journal for all."""
        if self._growing:
            raise AssertionError(f"{len(self._growing)} files of {self._path!r} were not written to their end")
        files = iter(self._files)
        while batch := list(islice(files, _SYNCED_TOGETHER)):
            self._finish(batch)
        for folder in sorted(self._folders, key=lambda folder: folder.path.count("/") if folder.path else -1)[::-1]:
            with storage_errors("finishing", self._shown(folder.path)), folder_beneath(self._root, folder.path) as fd:
                folder.apply(fd, self._attributes, self._shown(folder.path))
                self._disk.sync(fd, self._shown(folder.path))

    def _finish(self, files: Sequence[_Finish]) -> None:
        opened: list[tuple[int, str]] = []
        try:
            for file in files:
                shown = self._shown(file.path)
                with storage_errors("finishing", shown):
                    fd = open_beneath(self._root, file.path, os.O_RDONLY)
                    opened.append((fd, shown))
                    file.apply(fd, self._attributes, shown)
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
    """A file of a tree that is being written. ``write_at`` may be called from several threads, each byte once.

    ``lend`` gives its descriptor; it is among ``growing`` until its last byte is written.
    """

    def __init__(
        self, lend: Callable[[], AbstractContextManager[int]], size: int, shown: str, growing: set[GrowingFile]
    ) -> None:
        self._lend = lend
        self._left = size
        self._shown = shown
        self._growing = growing
        self._lock = threading.Lock()
        if size:
            growing.add(self)

    def write_at(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        if not len(view):
            return
        size = len(view)
        with storage_errors("writing", self._shown), self._lend() as fd:
            while len(view):
                written = os.pwrite(fd, view, offset)
                view, offset = view[written:], offset + written
        with self._lock:
            self._left -= size
            if self._left:
                return
        self._growing.discard(self)
        self.finish()

    def finish(self) -> None:
        """Every byte is there."""

    def abandon(self) -> None:
        """Nobody writes any more, and it is not complete."""


class LargeFile(GrowingFile):
    """One that keeps its descriptor, and is synced while it grows."""

    def __init__(self, fd: int, size: int, shown: str, growing: set[GrowingFile], writeback: Writeback) -> None:
        super().__init__(lambda: nullcontext(fd), size, shown, growing)
        self._fd = fd
        self._writeback = writeback

    def write_at(self, offset: int, data: Buffer) -> None:
        # Noted first: after its last byte the file is closed. What is written meanwhile is synced at the end.
        self._writeback.wrote(len(memoryview(data).cast("B")))
        super().write_at(offset, data)

    def finish(self) -> None:
        """StorageError when a sync failed on the way: the file must not be used then."""
        try:
            self._writeback.settle()
        finally:
            os.close(self._fd)

    def abandon(self) -> None:
        self._writeback.abandon()
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
