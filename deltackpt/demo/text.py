"""Text that every machine with Python has: the sources of the standard library."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path

import torch

LIMIT_BYTES = 4_000_000


def standard_library() -> torch.Tensor:
    """The beginning of the standard library's sources, one byte a value (uint8), the same on every call."""
    return torch.frombuffer(bytearray(b"".join(_sources(LIMIT_BYTES))), dtype=torch.uint8)


def _sources(limit: int) -> Iterator[bytes]:
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        source = path.read_bytes()[:limit]
        yield source
        limit -= len(source)
        if not limit:
            return
