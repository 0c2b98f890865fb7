"""Small files that belong to a run, such as its configuration and tokenizer, kept with every commit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from deltackpt.errors import InvalidInputError, LimitError, UnsafeError
from deltackpt.fs.disk import Disk
from deltackpt.fs.target import TargetFile, check_target

MAX_BYTES = 64 << 20

Stamp = tuple[int, int, int]


class Files:
    """The files at ``paths``, folders with everything below; each is read again only when it changed."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._read: dict[str, tuple[Stamp, Any]] = {}

    def state(self) -> dict[str, Any]:
        """Bytes by name; InvalidInputError or LimitError names the file that cannot be kept."""
        found: dict[str, Any] = {}
        for name, path in self._named():
            found[name] = self._bytes(name, path)
            if sum(len(data) for data in found.values()) > MAX_BYTES:
                raise LimitError(
                    f"files= are more than {MAX_BYTES >> 20} MiB, with {path!r}; keep large files elsewhere"
                )
        return found

    def changed(self, stored: Mapping[str, Any]) -> list[str]:
        """Names that are not here as they were stored."""
        here = self.state()
        return [name for name, data in stored.items() if name not in here or bytes(here[name]) != bytes(data)]

    def _named(self) -> Iterator[tuple[str, str]]:
        for path in self._paths:
            top = os.path.basename(os.path.normpath(path))
            if not os.path.isdir(path):
                yield top, path
                continue
            for folder, folders, names in os.walk(path):
                folders.sort()
                for name in sorted(names):
                    inner = os.path.relpath(os.path.join(folder, name), path)
                    yield f"{top}/{inner.replace(os.sep, '/')}", os.path.join(folder, name)

    def _bytes(self, name: str, path: str) -> Any:
        try:
            status = os.stat(path)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._read.get(name)
            if known is None or known[0] != stamp:
                with open(path, "rb") as file:
                    known = self._read[name] = (stamp, np.frombuffer(file.read(MAX_BYTES + 1), np.uint8))
        except OSError as error:
            raise InvalidInputError(f"files=: {path!r} cannot be read: {os.strerror(error.errno or 0)}") from None
        return known[1]


def write_files(stored: Mapping[str, Any], folder: str, *, force: bool = False) -> list[str]:
    """Write stored files below ``folder``; returns their paths. None is written outside of it, whatever its name."""
    targets = {os.path.join(folder, *_pieces(name)): bytes(data) for name, data in stored.items()}
    for path in targets:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        check_target(path, force=force)
    for path, data in targets.items():
        with TargetFile(Disk(), path, len(data), force=force) as target:
            target.write_at(0, data)
    return list(targets)


def _pieces(name: str) -> tuple[str, ...]:
    pieces = PurePosixPath(name).parts
    if not pieces or pieces[0] == "/" or ".." in pieces or "\0" in name:
        raise UnsafeError(f"a stored file is called {name!r}, which leads out of its folder; it is not written")
    return pieces
