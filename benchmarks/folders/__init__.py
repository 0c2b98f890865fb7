"""Folders that real trainers wrote, committed as they are: bytes left and speed beside the backup programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.figures import Figure
from benchmarks.folders import against_live, side_by_side
from benchmarks.options import Options

TABLES: dict[str, Callable[[Options], Iterator[Figure]]] = {
    "folders": side_by_side.figures,
    "folder-speed": against_live.figures,
}
