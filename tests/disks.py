"""Disks that count, wait or fail; and what lies in a folder."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from deltackpt import Options, Store
from deltackpt.chunkstore.facts import StoreFacts
from deltackpt.chunkstore.tables import Tables
from deltackpt.chunkstore.view import View
from deltackpt.fs.disk import Disk, storage_errors
from deltackpt.history.repository import Repository


class CountingDisk(Disk):
    """Counts the bytes read, by file."""

    def __init__(self) -> None:
        self.read_bytes: Counter[str] = Counter()

    def read_at(self, fd: int, offset: int, length: int, path: str) -> bytes:
        data = super().read_at(fd, offset, length, path)
        self.read_bytes[path] += len(data)
        return data

    @property
    def from_packs(self) -> int:
        return sum(count for path, count in self.read_bytes.items() if path.endswith(".pack"))


class InterruptedDisk(Disk):
    """Calls ``meanwhile`` once, just before the first record gets its number: the worst moment for a writer."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile: Callable[[], None] | None = meanwhile

    def link(self, source: str, target: str) -> None:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        super().link(source, target)


class StoppedDisk(Disk):
    """KeyboardInterrupt instead of the record that comes after ``records`` others."""

    def __init__(self, records: int) -> None:
        self._left = records

    def link(self, source: str, target: str) -> None:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        super().link(source, target)


class FailingReads(Disk):
    """Every read of a pack fails with EIO after the first ``sound`` of them."""

    def __init__(self, sound: int) -> None:
        self.left = sound

    def read_at(self, fd: int, offset: int, length: int, path: str) -> bytes:
        if path.endswith(".pack"):
            self.left -= 1
            if self.left < 0:
                with storage_errors("reading", path):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read_at(fd, offset, length, path)


class BadSector(Disk):
    """One byte of a file cannot be read, under whatever name."""

    def __init__(self, path: Path, at: int) -> None:
        self._inode = path.stat().st_ino
        self._at = at

    def read_at(self, fd: int, offset: int, length: int, path: str) -> bytes:
        if os.fstat(fd).st_ino == self._inode and offset <= self._at < offset + length:
            with storage_errors("reading", path):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read_at(fd, offset, length, path)


class Overtaken(Disk):
    """After the byte at ``at`` of a file was read, something else happens, once."""

    def __init__(self, path: Path, at: int, action: Callable[[], object]) -> None:
        self._path, self._at = str(path), at
        self._action: Callable[[], object] | None = action

    def read_at(self, fd: int, offset: int, length: int, path: str) -> bytes:
        data = super().read_at(fd, offset, length, path)
        if path == self._path and offset <= self._at < offset + length and self._action is not None:
            action, self._action = self._action, None
            action()
        return data


class Meanwhile(Disk):
    """Before the call of this number that looks at a file or links one, something else happens, once."""

    def __init__(self, number: int = 0, action: Callable[[], object] = lambda: None) -> None:
        self.calls = 0
        self._number, self._action = number, action
        self._lock = threading.Lock()

    def _look(self) -> None:
        with self._lock:
            self.calls += 1
            if self.calls == self._number:
                self._action()

    def open(self, path: str) -> int:
        self._look()
        return super().open(path)

    def read_at(self, fd: int, offset: int, length: int, path: str) -> bytes:
        self._look()
        return super().read_at(fd, offset, length, path)

    def exists(self, path: str) -> bool:
        self._look()
        return super().exists(path)

    def size(self, path: str) -> int:
        self._look()
        return super().size(path)

    def link(self, source: str, target: str) -> None:
        self._look()
        super().link(source, target)


def opened(path: str, disk: Disk, *, threads: int = 0) -> Store:
    """A store that reads and writes through ``disk``."""
    store = Store(path)
    store._repository = Repository(path, Options(threads=threads), lambda done, total: None, disk)
    return store


def files(folder: str | Path) -> dict[str, bytes]:
    """Every file below ``folder`` with its bytes."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            found[os.path.relpath(path, folder)] = Path(path).read_bytes()
    return found


def truth(store: Store) -> dict[str, bytes]:
    """Packs and log: everything of a store that is not a cache."""
    return {name: data for name, data in files(store.path).items() if name.startswith(("log/", "segments/", "packs/"))}


def damage(path: str | Path, at: int | None = None) -> None:
    """Flip every bit of the byte at ``at``, by default the one in the middle."""
    data = bytearray(Path(path).read_bytes())
    position = len(data) // 2 if at is None else at
    data[position] ^= 0xFF
    Path(path).write_bytes(data)


@contextmanager
def tables_of(store: Store) -> Iterator[Tables]:
    """The tables of a store's index, to be changed behind its back."""
    update = store._repository.chunks.index.update()
    with update.turn(), update.environment.writing() as tables:
        yield tables


def rows_of(store: Store) -> dict[bytes, dict[bytes, bytes]]:
    """Every row of a store's index that tells what it holds."""
    with tables_of(store) as tables:
        others = {name: dict(tables.items(name)) for name in (b"packs", b"commits", b"order", b"refs")}
        return {b"chunks": dict(View(tables).chunk_rows()), **others}


def log_file(store: Store, number: int) -> Path:
    """The file of a log record that is not archived."""
    (found,) = Path(store.path, "log").glob(f"*/{number:016d}.rec")
    return found


def packs(store: Store) -> list[Path]:
    """The pack files of a store, by name."""
    return sorted(Path(store.path, "packs").glob("*/*.pack"))


def make_newer(store: Path) -> None:
    """Let the store in that folder say that a later release made it."""
    path = store / "store.json"
    newer = msgspec.structs.replace(msgspec.json.decode(path.read_bytes(), type=StoreFacts), format=9)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(newer, check=newer.checksum())))
