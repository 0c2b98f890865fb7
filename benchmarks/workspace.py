"""Scratch folders beside the cache: the same disk for every contender, gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent / ".cache" / "work"


@contextmanager
def scratch(label: str) -> Iterator[Path]:
    """An empty folder for the length of a ``with`` block."""
    ROOT.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=ROOT))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def subfolder(folder: Path, name: str) -> Path:
    """A new, empty folder ``name`` in ``folder``."""
    path = folder / name
    path.mkdir()
    return path
