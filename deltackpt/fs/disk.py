"""The one module that creates, writes, syncs, renames, links and removes files of a store.

Everything durable goes through a :class:`Disk`, so that the order of these few calls can be recorded and
every crash state that it allows can be replayed. Each method is one step of the protocol; there are no
compound "atomic write" calls that would hide a sync.

Missing and existing files keep their Python types (``FileNotFoundError``, ``FileExistsError``): they steer
the protocol. Any other refusal of the file system is a :class:`StorageError`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from deltackpt.errors import StorageError

Buffer = bytes | bytearray | memoryview

_MAX_IOVEC = 512
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FILLED = 1 << 20
# What says that there is nothing, or no such path, or nothing that may be seen. Others say that the disk, or the share,
# does not answer.
_NOT_THERE = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.EACCES,
    errno.EPERM,
}
_NOT_KNOWN_HERE = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY}


class DiskFullError(StorageError):
    """No room left (disk, quota or file size limit). Nothing was published."""


class ReadOnlyError(StorageError):
    """The file system or its permissions forbid writing. Reading works."""


@contextmanager
def storage_errors(doing: str, path: str) -> Iterator[None]:
    """Turn an ``OSError`` of a block that changes files into a typed, one-line error that names the file."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        reason = _reason(doing, path, error)
        if error.errno in _NO_ROOM:
            raise DiskFullError(f"{reason}; nothing was published; free some room and try again") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise ReadOnlyError(f"{reason}; reading the store still works") from error
        raise StorageError(f"{reason}; the store is as it was before") from error


@contextmanager
def reading_errors(doing: str, path: str) -> Iterator[None]:
    """The same for a block that reads."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        denied = error.errno in (errno.EACCES, errno.EPERM)
        advice = "look at its owner and permissions" if denied else "check that disk"
        raise StorageError(f"{_reason(doing, path, error)}; {advice}") from error


def _reason(doing: str, path: str, error: OSError) -> str:
    return f"{doing} {path!r} failed: {os.strerror(error.errno) if error.errno else error}"


class Disk:
    """The real file system. File modes obey umask and setgid."""

    def create(self, path: str) -> int:
        """Open a new file for writing; ``FileExistsError`` when the name is taken."""
        with storage_errors("creating", path):
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def write(self, fd: int, pieces: Sequence[Buffer], path: str) -> None:
        """Append all of ``pieces``, however often the kernel takes less than it was given."""
        with storage_errors("writing", path):
            for start in range(0, len(pieces), _MAX_IOVEC):
                self._write_batch(fd, [memoryview(p).cast("B") for p in pieces[start : start + _MAX_IOVEC] if len(p)])

    @staticmethod
    def _write_batch(fd: int, views: list[memoryview]) -> None:
        while views:
            written = os.writev(fd, views)
            while views and written >= len(views[0]):
                written -= len(views.pop(0))
            if written:
                views[0] = views[0][written:]

    def allocate(self, fd: int, size: int, path: str) -> None:
        """Set ``size`` bytes aside for a new file, so that a disk too full for it says so now."""
        if size:
            with storage_errors("reserving room for", path):
                (getattr(os, "posix_fallocate", None) or _set_aside)(fd, 0, size)

    def sync(self, fd: int, path: str) -> None:
        """Make the file's bytes durable. After a failure the file must never be used or synced again."""
        with storage_errors("syncing", path):
            if not _sync_drive(fd):
                os.fsync(fd)

    def close(self, fd: int, path: str) -> None:
        with storage_errors("closing", path):
            os.close(fd)

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable: creations, renames, links and removals so far."""
        with reading_errors("opening directory", path):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(fd, path)
        finally:
            os.close(fd)

    def rename(self, source: str, target: str) -> None:
        with storage_errors("renaming to", target):
            os.rename(source, target)

    def link(self, source: str, target: str) -> None:
        """Give the file a second name; ``FileExistsError`` when it is taken. This is the create-only step."""
        with storage_errors("linking", target):
            os.link(source, target)

    def unlink(self, path: str) -> None:
        """Remove a name; a name that is not there is fine."""
        with storage_errors("removing", path):
            try:
                os.unlink(path)
            except FileNotFoundError:
                return

    def make_directory(self, path: str) -> None:
        """Create one directory; one that exists is fine."""
        with storage_errors("creating directory", path):
            try:
                os.mkdir(path)
            except FileExistsError:
                if not os.path.isdir(path):
                    raise

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory; one that is not there is fine."""
        with storage_errors("removing directory", path):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                return

    def open(self, path: str) -> int:
        """Open for reading with :meth:`read_at`."""
        with reading_errors("opening", path):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def size(self, path: str) -> int:
        with reading_errors("looking at", path):
            return os.stat(path).st_size

    def changed(self, path: str) -> int:
        """When a file's bytes, or the names in a directory, last changed: nanoseconds since 1970."""
        with reading_errors("looking at", path):
            return os.stat(path).st_mtime_ns

    def is_at(self, fd: int, path: str) -> bool:
        """Whether the open file is the one that has its name at ``path`` now, as far as the disk can tell."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(path))
        except OSError:
            # Of a file that another machine has replaced a share may say nothing but that the handle is stale.
            return False

    def free_bytes(self, path: str, *, at_most: bool = False) -> int:
        """Room on the disk of ``path`` that is there for everybody; without end where nobody knows.

        ``at_most`` counts what may be kept back for the superuser, too, if this process is one.
        """
        with storage_errors("looking at the room on", path):
            found = os.statvfs(path)
        if not found.f_blocks:
            return sys.maxsize
        return found.f_frsize * (found.f_bfree if at_most and not os.geteuid() else found.f_bavail)

    def exists(self, path: str) -> bool:
        """Whether something is there; StorageError when the disk cannot tell, which is not the same as no."""
        try:
            os.stat(path)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            with reading_errors("looking at", path):
                raise
        except ValueError:
            # No path: it holds a NUL.
            return False
        return True

    def names(self, path: str) -> list[str]:
        """Names in a directory, sorted; a directory that is not there has none."""
        with reading_errors("listing", path):
            try:
                return sorted(os.listdir(path))
            except FileNotFoundError:
                return []

    def read_at(self, fd: int, offset: int, length: int, path: str) -> bytes:
        """Exactly ``length`` bytes, or fewer where the file ends before."""
        with reading_errors("reading", path):
            data = os.pread(fd, length, offset)
            if len(data) == length or not data:
                return data
            pieces = [data]
            while (missing := length - sum(map(len, pieces))) and (
                more := os.pread(fd, missing, offset + length - missing)
            ):
                pieces.append(more)
            return b"".join(pieces)

    def read(self, path: str, limit: int) -> bytes:
        """A whole small file; StorageError when it is larger than ``limit`` bytes."""
        fd = self.open(path)
        try:
            size = os.fstat(fd).st_size
            if size > limit:
                raise StorageError(f"{path!r} is {size} bytes, more than the {limit} that such a file may have")
            return self.read_at(fd, 0, size, path)
        finally:
            os.close(fd)


def _sync_drive(fd: int) -> bool:
    """Sync by way of macOS's own call: its ``fsync`` leaves the bytes in the drive's cache.

    False where the system has no such call, or the file system refuses it, as some shares do.
    """
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        return False
    try:
        fcntl.fcntl(fd, full_sync)
    except OSError as error:
        if error.errno not in _NOT_KNOWN_HERE:
            raise
        return False
    return True


def _set_aside(fd: int, offset: int, size: int) -> None:
    """What ``posix_fallocate`` does, where it is missing: a little is filled, more is compared with what is free."""
    if size <= _FILLED:
        os.pwrite(fd, bytes(size), offset)
        return
    room = os.fstatvfs(fd)
    if room.f_bavail * room.f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(fd, offset + size)
