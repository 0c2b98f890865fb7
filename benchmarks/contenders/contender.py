"""What every contender can do."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol

from benchmarks.snapshot import Snapshot


class Place(Protocol):
    """A place for checkpoints in a folder of its own, created empty by the constructor."""

    name: ClassVar[str]

    @staticmethod
    def absent() -> str | None:
        """Why it cannot run on this machine; None when it can."""
        ...

    def __init__(self, folder: Path) -> None: ...

    def bytes_on_disk(self) -> int:
        """Bytes of all files that are needed later to give back what is kept."""
        ...


class Contender(Place, Protocol):
    """One that keeps states."""

    def commit(self, snapshot: Snapshot) -> None:
        """Keep the snapshot. When this returns it survives a power cut, as far as the tool can promise that."""
        ...

    def checkout(self, step: int, path: Path) -> None:
        """Write the tensors of ``step`` to a new safetensors file ``path``. The caller syncs it."""
        ...


class Keeper(Place, Protocol):
    """One that keeps files and folders as they are."""

    def keep(self, path: Path, step: int) -> None:
        """Keep the file or folder ``path``; durable when this returns."""
        ...

    def restore(self, path: Path, step: int, target: Path) -> None:
        """Write what was kept of ``path``, under its own name, somewhere below ``target``. The caller syncs it."""
        ...


def folder_bytes(folder: Path) -> int:
    """Sum of the sizes of all files below ``folder``."""
    return sum(path.stat().st_size for path in _files(folder))


def read_once(checkpoint: Path) -> int:
    """Bytes of a file, or of a folder's files, which are in the page cache then, as right after they were written."""
    return sum(len(path.read_bytes()) for path in (_files(checkpoint) if checkpoint.is_dir() else [checkpoint]))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
