"""One safetensors file a step, plain or compressed with zstd."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import zstandard
from safetensors.torch import save_file

from benchmarks.contenders.contender import folder_bytes
from benchmarks.contenders.durable import sync_file
from benchmarks.snapshot import Snapshot


class Safetensors:
    """``safetensors.torch.save_file``, then fsync of the file and its folder. Checkout copies the file."""

    name: ClassVar[str] = "safetensors + fsync"

    @staticmethod
    def absent() -> str | None:
        return None

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def commit(self, snapshot: Snapshot) -> None:
        path = self._file(snapshot.step)
        save_file(snapshot.tensors, path, {"rest": snapshot.rest})
        sync_file(path)

    def checkout(self, step: int, path: Path) -> None:
        shutil.copyfile(self._file(step), path)

    def bytes_on_disk(self) -> int:
        return folder_bytes(self.folder)

    def _file(self, step: int) -> Path:
        return self.folder / f"{step}.safetensors"


class Zstd:
    """The safetensors file through zstd level 3 on all cores, then fsync. Writing its input is not counted."""

    name: ClassVar[str] = "zstd -3 + fsync"

    @staticmethod
    def absent() -> str | None:
        return None

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def commit(self, snapshot: Snapshot) -> None:
        path = self._file(snapshot.step)
        with snapshot.file.open("rb") as source, path.open("wb") as target:
            zstandard.ZstdCompressor(level=3, threads=-1).copy_stream(source, target, size=snapshot.file.stat().st_size)
        sync_file(path)

    def checkout(self, step: int, path: Path) -> None:
        with self._file(step).open("rb") as source, path.open("wb") as target:
            zstandard.ZstdDecompressor().copy_stream(source, target)

    def bytes_on_disk(self) -> int:
        return folder_bytes(self.folder)

    def _file(self, step: int) -> Path:
        return self.folder / f"{step}.safetensors.zst"
