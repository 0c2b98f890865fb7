"""ZipNN, the published byte-grouping compressor for model weights: one file a step, with and without its delta.

Each tensor is compressed by itself as bytes of its own type, on all cores; types that ZipNN does not know are
kept plain. A file is a JSON list of ``[name, dtype, shape, compressed, length]``, its own length before it,
and the parts after it.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import save_file

from benchmarks.contenders.contender import folder_bytes
from benchmarks.contenders.durable import sync_file
from benchmarks.snapshot import Snapshot

KNOWN = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
WORTH_WHILE = 4096


class ZipNN:
    """ZipNN without delta, then fsync of the file and its folder."""

    name: ClassVar[str] = "ZipNN + fsync"
    delta: ClassVar[bool] = False

    @staticmethod
    def absent() -> str | None:
        return None if importlib.util.find_spec("zipnn") else "missing: pip install --no-deps zipnn"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.previous: dict[str, bytes] = {}
        self.order: list[int] = []

    def commit(self, snapshot: Snapshot) -> None:
        path = self.folder / str(snapshot.step)
        _write(path, [self._part(name, tensor) for name, tensor in snapshot.tensors.items()])
        sync_file(path)
        self.order.append(snapshot.step)
        if self.delta:
            self.previous = {name: _plain_bytes(t) for name, t in snapshot.tensors.items()}

    def checkout(self, step: int, path: Path) -> None:
        save_file({entry[0]: _tensor(entry, plain) for entry, plain in self._decoded(step)}, path)

    def bytes_on_disk(self) -> int:
        return folder_bytes(self.folder)

    def _part(self, name: str, tensor: torch.Tensor) -> tuple[list[Any], bytes]:
        plain = _plain_bytes(tensor)
        compressed = tensor.dtype in KNOWN and len(plain) >= WORTH_WHILE
        base = self.previous.get(name)
        data = _coder(tensor.dtype, base is not None).compress(plain, delta_second_data=base) if compressed else plain
        return [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape), compressed, len(data)], data

    def _decoded(self, step: int) -> Iterator[tuple[list[Any], bytes]]:
        before = self.order[self.order.index(step) - 1] if self.delta and step != self.order[0] else None
        bases = {} if before is None else {entry[0]: plain for entry, plain in self._decoded(before)}
        for entry, data in _read(self.folder / str(step)):
            base = bases.get(entry[0]) if entry[3] else None
            coder = _coder(getattr(torch, entry[1]), base is not None) if entry[3] else None
            yield entry, coder.decompress(data, delta_second_data=base) if coder else data


class ZipNNDelta(ZipNN):
    """ZipNN's XOR against the step before, which it keeps in memory; a checkout decodes every step before it."""

    name: ClassVar[str] = "ZipNN delta + fsync"
    delta: ClassVar[bool] = True


def _coder(dtype: torch.dtype, delta: bool) -> Any:
    from zipnn import ZipNN as Coder

    return Coder(
        input_format="byte",
        bytearray_dtype=KNOWN[dtype],
        threads=os.cpu_count() or 1,
        delta_compressed_type="byte" if delta else 0,
    )


def _plain_bytes(tensor: torch.Tensor) -> bytes:
    """A copy, which ZipNN needs: it changes the bytes that it is given to compress."""
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _tensor(entry: list[Any], plain: bytes) -> torch.Tensor:
    _, dtype, shape, _, _ = entry
    return torch.frombuffer(bytearray(plain), dtype=getattr(torch, dtype)).reshape(shape)


def _write(path: Path, parts: list[tuple[list[Any], bytes]]) -> None:
    header = json.dumps([entry for entry, _ in parts]).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.writelines(data for _, data in parts)


def _read(path: Path) -> Iterator[tuple[list[Any], bytes]]:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for entry in header:
            yield entry, file.read(entry[4])
