"""How a test reads bytes as a file, and what must hold for every reading."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from deltackpt.formats.checksums import first_mismatch
from deltackpt.formats.reading import Reading
from deltackpt.formats.sniff import read
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan, check_tiling


@contextmanager
def as_file(raw: bytes, name: str = "f") -> Iterator[SourceFile]:
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        yield SourceFile.of(file.fileno(), name)


def reading_of(raw: bytes) -> Reading:
    """What is made of ``raw``; its spans tile it."""
    with as_file(raw) as file:
        reading = read(file)
    check_tiling(reading.spans, len(raw), "f")
    return reading


def sound(raw: bytes) -> Reading:
    """A reading without a warning, whose checksums are right."""
    with as_file(raw) as file:
        reading = read(file)
        assert reading.warning is None
        assert first_mismatch(file, reading.checksums) is None
    check_tiling(reading.spans, len(raw), "f")
    return reading


def tensors(reading: Reading) -> list[TensorSpan]:
    return [span for span in reading.spans if isinstance(span, TensorSpan)]


def by_name(raw: bytes, reading: Reading) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Type, shape and bytes of each tensor span."""
    spans = tensors(reading)
    found = {s.name: (s.dtype.name, s.shape, raw[s.offset : s.offset + s.length]) for s in spans}
    assert len(found) == len(spans), "names are distinct"
    return found


def saved(state: Any, **options: Any) -> bytes:
    """What ``torch.save`` writes."""
    torch.save(state, buffer := io.BytesIO(), **options)
    return buffer.getvalue()


LEGACY = {"_use_new_zipfile_serialization": False}
CONTAINERS = ({}, LEGACY)


def plain(tensor: torch.Tensor) -> tuple[str, tuple[int, ...], bytes]:
    """Type, shape and C-order bytes of a live tensor, as :func:`by_name` gives them."""
    tensor = tensor.detach().contiguous()
    raw = bytes(tensor.reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else b""
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), raw
