"""One LMDB environment per folder and process, with what LMDB needs around it.

LMDB is a cache here, so the rules are about never being fooled by it: its own lock file is off (it fails
between containers that see different process ids) and a ``flock`` takes its place; the 0.9 on-disk format is
pinned; every value carries a checksum; the map grows by itself; an environment is never opened twice in a
process nor used after ``fork``; and it is created aside and renamed, because a crash inside the very first
creation can leave a file that never opens. Anything that looks wrong is an IndexDamagedError, and the
answer to that is to build a new one.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import lmdb

from deltackpt.chunkstore.tables import TABLES, IndexDamagedError, Tables
from deltackpt.fs.disk import DiskFullError, reading_errors, storage_errors
from deltackpt.fs.lock import FileLock, LockFolderMissingError

LMDB_FORMAT = 0
# What compacting copies at most, a matter of 50 ms; and files below which nobody would notice.
_MAX_COPIED = 32 << 20
_LEAST_COMPACTED = 1 << 20
# What is read before it is used, a matter of 50 ms when it is cached.
_MOST_READ_THROUGH = 256 << 20

_INITIAL_MAP = 64 << 20


@dataclass(frozen=True, slots=True)
class Figures:
    """What LMDB says of itself: the address space it may fill, its pages, and the rows of each table."""

    map_bytes: int
    page_bytes: int
    pages: int
    rows: dict[str, int]


class Environment:
    """An LMDB environment in ``folder``; get one from :func:`environments.shared_environment`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = os.path.join(folder, "lmdb")
        self.lock = FileLock(os.path.join(folder, "lock"))
        self._env: lmdb.Environment | None = None
        self._handles: dict[bytes, lmdb._Database] = {}
        self._inode = 0
        self._legible = 0
        self.users: weakref.WeakSet[object] = weakref.WeakSet()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Tables]:
        """A short read transaction. Keep it short: an open reader keeps freed pages from being reused."""
        with self._damage_reported():
            while True:
                with self.lock.shared():
                    txn = self._begin_reading()
                    if txn is not None:
                        with txn:
                            yield Tables(txn, self._handles)
                        return
                self._require_legible()
                with self.lock.exclusive():
                    self._open()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Tables]:
        """A write transaction under the exclusive lock, which the caller holds already."""
        with self._damage_reported():
            if not self._is_current():
                self._open()
            assert self._env is not None
            try:
                txn = self._env.begin(write=True)
            except lmdb.MapResizedError:
                self._open()
                txn = self._env.begin(write=True)
            with txn:
                yield Tables(txn, self._handles)

    def figures(self) -> Figures:
        """LMDB's own figures; IndexDamagedError when there is no environment that opens."""
        with self.reading() as tables:
            assert self._env is not None
            info, stat = self._env.info(), self._env.stat()
            rows = {name.decode(): tables.entries(name) for name in tables.handles}
            return Figures(info["map_size"], stat["psize"], info["last_pgno"] + 1, rows)

    def inode(self) -> int:
        """Tells one environment in the folder from the next that takes its place; 0 while there is none."""
        path = os.path.join(self._path, "data.mdb")
        try:
            with reading_errors("looking at", path):
                return os.stat(path).st_ino
        except FileNotFoundError:
            return 0

    def grow(self) -> None:
        """Double the map after ``lmdb.MapFullError``; the caller holds the exclusive lock and no transaction."""
        assert self._env is not None
        self._env.set_mapsize(self._env.info()["map_size"] * 2)

    def rebuild(self) -> None:
        """Put an empty environment in the place of this one; the caller holds the exclusive lock."""
        self._close()

        def fill(fresh: str) -> None:
            with _open(fresh) as env:
                for table in TABLES:
                    env.open_db(table)
                env.sync(True)

        self._replace(fill)

    def compact(self) -> int:
        """Give back pages that hold nothing, when they are most of the file; returns the bytes that frees.

        The caller holds the exclusive lock, so it is done only where that takes milliseconds.
        """
        with self.writing() as tables:
            assert self._env is not None
            env, page = self._env, self._env.stat()["psize"]
            stats = [tables.txn.stat(db) for db in tables.handles.values()]
            used = page * sum(s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"] for s in stats)
            size = page * (env.info()["last_pgno"] + 1)
        if used > _MAX_COPIED or size < _LEAST_COMPACTED or used > size / 2:
            return 0

        def fill(fresh: str) -> None:
            os.makedirs(fresh)
            env.copy(os.fsencode(fresh), compact=True)  # type: ignore[arg-type]  # says what open says
            # A page that a power loss emptied would end the process that touches it.
            fd = os.open(os.path.join(fresh, "data.mdb"), os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

        self._replace(fill)
        return size - os.stat(os.path.join(self._path, "data.mdb")).st_size

    def _replace(self, fill: Callable[[str], None]) -> None:
        """Put the environment that ``fill`` makes in a new folder in the place of this one."""
        # 5 ms to import (it brings the compression modules), for what hardly ever happens.
        import shutil

        with self._damage_reported(), storage_errors("building the index in", self._folder):
            fresh = os.path.join(self._folder, "new")
            aside = os.path.join(self._folder, "old")
            for path in (fresh, aside):
                shutil.rmtree(path, ignore_errors=True)
            try:
                fill(fresh)
            except BaseException:
                # On a disk that is full the rest of it would stay so.
                shutil.rmtree(fresh, ignore_errors=True)
                raise
            self._close()
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path, aside)
            os.rename(fresh, self._path)
            shutil.rmtree(aside, ignore_errors=True)

    def rest(self) -> None:
        """Give back map and descriptors until the next use, unless a thread is at it."""
        with self.lock.idle() as idle:
            if idle:
                self._close()
                self.lock.close()

    def leave_to_parent(self) -> None:
        """In a forked child: let go of what belongs to the parent. Closing writes nothing."""
        self._close()
        self.lock.close()

    def _is_current(self) -> bool:
        return self._env is not None and self.inode() == self._inode

    def _begin_reading(self) -> lmdb.Transaction | None:
        """A read transaction; None when the environment must be opened (again) for that, which others must not see."""
        if not self._is_current() or self._env is None:
            return None
        try:
            return self._env.begin()
        except lmdb.MapResizedError:
            # Another process grew the map. Mapping it anew would pull it away under this process's other readers.
            return None

    def _open(self) -> None:
        """Open what is in the folder now; the caller holds the exclusive lock, so no transaction is under way."""
        self._close()
        self._inode = self.inode()
        if not self._inode:
            raise IndexDamagedError("there is no index yet")
        self._env = _open(self._path)
        _check_length(self._env, self._path)
        self._handles = {name: self._env.open_db(name, create=False) for name in TABLES}

    def _require_legible(self) -> None:
        """IndexDamagedError when the disk cannot read the file: touching such a page of the map would kill the process.

        Once in a process for each file, and not where that takes longer than opening may.
        """
        inode = self.inode()
        if inode in (0, self._legible):
            return
        path = os.path.join(self._path, "data.mdb")
        try:
            _read_through(path)
        except OSError as error:
            raise IndexDamagedError(f"{path!r} cannot be read: {os.strerror(error.errno or 0)}", inode) from error
        self._legible = inode

    def _close(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None

    @contextlib.contextmanager
    def _damage_reported(self) -> Iterator[None]:
        """LMDB's errors as ours: no room is the disk's affair, anything else makes the index suspect."""
        try:
            yield
        except (lmdb.MapFullError, lmdb.MapResizedError):
            raise
        except lmdb.DiskError as error:
            raise DiskFullError(
                f"no room for the index in {self._folder!r}; free some, what is published is safe"
            ) from error
        except (lmdb.Error, LockFolderMissingError) as error:
            raise IndexDamagedError(str(error), self._inode) from error
        except IndexDamagedError as error:
            error.inode = error.inode or self._inode
            raise


def _open(path: str) -> lmdb.Environment:
    # Without metasync a power loss may take back the last transaction, whole: the log has it still.
    os.makedirs(path, exist_ok=True)
    return lmdb.open(
        # A name that is no UTF-8 is bytes to it; whether others may write is up to the umask, as for the store's files.
        os.fsencode(path),
        mode=0o777,
        map_size=_INITIAL_MAP,
        max_dbs=len(TABLES) + 2,
        lock=False,
        readahead=False,
        metasync=False,
        lib_version=LMDB_FORMAT,
    )


def _read_through(path: str) -> None:
    """Read all of a file that has no more than some megabytes; OSError when that fails."""
    part = bytearray(1 << 20)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        # A read is cut short before what it cannot read, and the next one fails there.
        while size <= _MOST_READ_THROUGH and os.readv(fd, [part]):
            pass
    finally:
        os.close(fd)


def _check_length(env: lmdb.Environment, path: str) -> None:
    """IndexDamagedError when the file lacks pages: touching one that is not there would kill the process."""
    pages = env.info()["last_pgno"] + 1
    if os.stat(os.path.join(path, "data.mdb")).st_size < pages * env.stat()["psize"]:
        raise IndexDamagedError("the file is cut short")
