"""What checkpoints cost in a store, as files and as the same tensors in a live state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deltackpt import Commit, Store


def committed(store: Path, contents: Sequence[Any]) -> list[Commit]:
    """Paths or states, one after another, in a new store."""
    with Store.init(store) as made:
        return [made.commit(one) for one in contents]


def literal_bytes(path: Path, commit: Commit) -> int:
    """Bytes of the files at or below ``path`` that no tensor of ``commit`` holds."""
    held = sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    return held - sum(part.nbytes - part.untyped for part in commit.parts)
