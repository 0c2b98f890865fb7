"""A disk whose n-th call fails, once or from then on."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from deltackpt.fs.disk import Buffer, Disk, storage_errors

CALLS = [
    "create",
    "write",
    "sync",
    "close",
    "sync_directory",
    "rename",
    "link",
    "unlink",
    "make_directory",
    "remove_directory",
    "open",
    "size",
    "names",
    "read_at",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """Call number ``nth`` of ``call`` fails with ``code``; with ``sticky`` every later one does, too."""

    call: str
    nth: int
    code: int
    sticky: bool

    def strikes(self, call: str, number: int) -> bool:
        return call == self.call and (number >= self.nth if self.sticky else number == self.nth)

    def __str__(self) -> str:
        return f"{self.call}-{self.nth}-{errno.errorcode[self.code]}{'-sticky' if self.sticky else ''}"


class FaultyDisk(Disk):
    """Counts its calls; ``faults`` say which of them fail."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        self.calls: Counter[str] = Counter()

    def _called(self, call: str, path: str) -> None:
        self.calls[call] += 1
        for fault in self.faults:
            if fault.strikes(call, self.calls[call]):
                with storage_errors(call, path):
                    raise OSError(fault.code, os.strerror(fault.code))

    def create(self, path: str) -> int:
        self._called("create", path)
        return super().create(path)

    def write(self, fd: int, pieces: Sequence[Buffer], path: str) -> None:
        try:
            self._called("write", path)
        except BaseException:
            # As on a disk that fills up: a part of it arrived.
            super().write(fd, [memoryview(pieces[0])[: len(pieces[0]) // 2]], path)
            raise
        super().write(fd, pieces, path)

    def sync(self, fd: int, path: str) -> None:
        self._called("sync", path)
        super().sync(fd, path)

    def close(self, fd: int, path: str) -> None:
        super().close(fd, path)
        self._called("close", path)

    def sync_directory(self, path: str) -> None:
        self._called("sync_directory", path)
        super().sync_directory(path)

    def rename(self, source: str, target: str) -> None:
        self._called("rename", target)
        super().rename(source, target)

    def link(self, source: str, target: str) -> None:
        self._called("link", target)
        super().link(source, target)

    def unlink(self, path: str) -> None:
        self._called("unlink", path)
        super().unlink(path)

    def make_directory(self, path: str) -> None:
        self._called("make_directory", path)
        super().make_directory(path)

    def remove_directory(self, path: str) -> None:
        self._called("remove_directory", path)
        super().remove_directory(path)

    def open(self, path: str) -> int:
        self._called("open", path)
        return super().open(path)

    def size(self, path: str) -> int:
        self._called("size", path)
        return super().size(path)

    def names(self, path: str) -> list[str]:
        self._called("names", path)
        return super().names(path)

    def read_at(self, fd: int, offset: int, length: int, path: str) -> bytes:
        self._called("read_at", path)
        return super().read_at(fd, offset, length, path)
