"""PyTorch's own ways to save: one ``torch.save`` file a step, one distributed checkpoint a step."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import ClassVar

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from benchmarks.contenders.contender import folder_bytes
from benchmarks.contenders.durable import sync_file
from benchmarks.snapshot import Snapshot, flatten


class TorchSave:
    """``torch.save``, then fsync of the file and its folder."""

    name: ClassVar[str] = "torch.save + fsync"

    @staticmethod
    def absent() -> str | None:
        return None

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def commit(self, snapshot: Snapshot) -> None:
        path = self._file(snapshot.step)
        torch.save(snapshot.state, path)
        sync_file(path)

    def checkout(self, step: int, path: Path) -> None:
        tensors, rest = flatten(torch.load(self._file(step), weights_only=True))
        save_file(tensors, path, {"rest": rest})

    def bytes_on_disk(self) -> int:
        return folder_bytes(self.folder)

    def _file(self, step: int) -> Path:
        return self.folder / f"{step}.pt"


class DistributedCheckpoint:
    """``torch.distributed.checkpoint.save`` in one process; two writer threads, each file synced by the tool."""

    name: ClassVar[str] = "torch.distributed.checkpoint"

    @staticmethod
    def absent() -> str | None:
        return None

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def commit(self, snapshot: Snapshot) -> None:
        writer = dcp.FileSystemWriter(self._part(snapshot.step), thread_count=2, sync_files=True)
        with warnings.catch_warnings(action="ignore"):
            dcp.save(dict(snapshot.state), storage_writer=writer)

    def checkout(self, step: int, path: Path) -> None:
        reader = dcp.FileSystemReader(self._part(step))
        listed = reader.read_metadata().state_dict_metadata
        tensors = {
            name: torch.empty(entry.size, dtype=entry.properties.dtype)
            for name, entry in listed.items()
            if isinstance(entry, TensorStorageMetadata)
        }
        with warnings.catch_warnings(action="ignore"):
            dcp.load(tensors, storage_reader=reader)
        save_file(tensors, path)

    def bytes_on_disk(self) -> int:
        return folder_bytes(self.folder)

    def _part(self, step: int) -> Path:
        return self.folder / str(step)
