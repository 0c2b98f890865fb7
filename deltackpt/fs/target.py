"""Writing a file for the user: complete under its name, or not there at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from deltackpt.errors import InvalidInputError, StorageError
from deltackpt.fs.attributes import Attributes
from deltackpt.fs.disk import Buffer, Disk, storage_errors
from deltackpt.fs.writeback import Writeback

_STEM_BYTES = 100
_NAMED = 5


class TargetExistsError(InvalidInputError):
    """The target is there already and may not be replaced."""


class TargetFile:
    """A file of known size that grows under a temporary name beside ``path`` and takes its name when complete.

    A context manager: leaving it by an exception removes what was written. ``write_at`` may be called from several
    threads. TargetExistsError when ``path`` exists and ``force`` is not given; anything but a regular file
    or a symbolic link is never replaced, and a link is replaced itself, not what it points to. ``keep`` are the
    permissions and the mtime (ns) that the file gets; else umask and the clock decide.
    """

    def __init__(
        self, disk: Disk, path: str, size: int, *, force: bool = False, keep: tuple[int, int] | None = None
    ) -> None:
        self._disk = disk
        self._keep = keep
        self._path = path
        self._force = force
        check_target(path, force=force)
        folder, name = os.path.split(os.path.abspath(path))
        self._folder = folder
        # A name has 255 bytes at most.
        stem = name.encode("utf-8", "ignore")[:_STEM_BYTES].decode("utf-8", "ignore")
        self._staged = os.path.join(folder, f".{stem}.{os.urandom(6).hex()}.tmp")
        self._fd = self._create(size)
        self._syncer = ThreadPoolExecutor(1, thread_name_prefix="deltackpt-sync")
        self._writeback = Writeback(disk, self._fd, path, self._syncer)

    def _create(self, size: int) -> int:
        try:
            fd = self._disk.create(self._staged)
        except FileNotFoundError:
            reason = "takes no files" if os.path.isdir(self._folder) else "does not exist"
            raise InvalidInputError(f"cannot write {self._path!r}: folder {self._folder!r} {reason}") from None
        except StorageError as error:
            cause = error.__cause__
            why = cause.strerror if isinstance(cause, OSError) else error
            raise type(error)(f"cannot write {self._path!r}: {why}; choose another target") from error
        try:
            # A disk too full for the file says so now, before hours of work.
            self._disk.allocate(fd, size, self._path)
        except BaseException:
            self._disk.close(fd, self._staged)
            self._disk.unlink(self._staged)
            raise
        return fd

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._writeback.settle()
                self._put_on()
                self._disk.sync(self._fd, self._path)
        except BaseException:
            self._abandon()
            raise
        finally:
            self._syncer.shutdown(wait=True)
        if error is not None:
            self._abandon()
            return
        self._disk.close(self._fd, self._path)
        self._publish()

    def _put_on(self) -> None:
        if self._keep is not None:
            mode, mtime_ns = self._keep
            with storage_errors("finishing", self._path):
                Attributes().put_on(self._fd, mode & 0o777, mtime_ns, self._path)

    @property
    def staged(self) -> str:
        """Where the file grows, for a library that writes by path."""
        return self._staged

    @property
    def size(self) -> int:
        """Bytes up to the end of what was written."""
        return os.fstat(self._fd).st_size

    def write_at(self, offset: int, data: Buffer) -> None:
        with storage_errors("writing", self._path):
            view = memoryview(data).cast("B")
            size = len(view)
            while len(view):
                written = os.pwrite(self._fd, view, offset)
                view, offset = view[written:], offset + written
        self._writeback.wrote(size)

    def _publish(self) -> None:
        try:
            if self._force:
                check_target(self._path, force=True)
                self._disk.rename(self._staged, self._path)
            else:
                # Unlike rename, link refuses a name that somebody took meanwhile.
                self._link()
            self._disk.sync_directory(self._folder)
        finally:
            self._disk.unlink(self._staged)

    def _link(self) -> None:
        try:
            self._disk.link(self._staged, self._path)
        except FileExistsError:
            raise _exists(self._path) from None

    def _abandon(self) -> None:
        self._writeback.abandon()
        self._disk.close(self._fd, self._path)
        self._disk.unlink(self._staged)


def check_target(path: str, *, force: bool) -> None:
    """TargetExistsError unless a file may be written at ``path``; InvalidInputError when that names no file."""
    if "\0" in path:
        raise InvalidInputError(f"cannot write {path!r}: a path cannot hold a NUL character")
    if not os.path.basename(path):
        raise InvalidInputError(f"cannot write {path!r}: that names a folder; add the name of a file")
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidInputError(f"cannot write {path!r}: {os.strerror(error.errno or 0)}") from None
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise TargetExistsError(f"{path!r} exists and is not a regular file; choose another target")
    if not force:
        raise _exists(path)


def refuse_existing(paths: Sequence[str]) -> None:
    """TargetExistsError, before any of several targets is written, when one is there already."""
    there = [repr(path) for path in paths if os.path.lexists(path)]
    if there:
        raise TargetExistsError(
            f"of {len(paths)} targets, {len(there)} {'exists' if len(there) == 1 else 'exist'} already:"
            f" {', '.join(there[:_NAMED])}{', ...' if len(there) > _NAMED else ''}; nothing was written;"
            " replace them with --force (force=True), or choose other names"
        )


def _exists(path: str) -> TargetExistsError:
    return TargetExistsError(f"{path!r} exists already; replace it with --force (force=True), or choose another target")
