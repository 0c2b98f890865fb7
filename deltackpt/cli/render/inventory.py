"""The tensors of a commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from deltackpt.checkout.files import TypedBytes
from deltackpt.cli.columns import aligned
from deltackpt.cli.text import counted, percent, shape, shown, size
from deltackpt.maintenance.inventory import InventoryRow, Kept

_HEAD = ("tensor", "type", "shape", "plain", "stored", "how")
_RIGHT = frozenset({3, 4})


def inventory_lines(rows: Sequence[InventoryRow], plain: int) -> Iterator[str]:
    """A table, and what it adds up to; ``plain`` are the bytes of all tensors, each counted once."""
    table = [_HEAD]
    for row in rows:
        form = (shown(row.name), row.dtype.name, shape(row.shape), size(row.plain_bytes), size(row.stored_bytes))
        table.append((*form, _how(row)))
    yield from aligned(table, _RIGHT)
    stored = sum(row.stored_bytes for row in rows)
    yield f"{counted(len(rows), 'tensor')}, {size(plain)} plain, {size(stored)} stored"


def _how(row: InventoryRow) -> str:
    """``delta (rank 3)``, ``5 delta, 3 shared``, ``tied to model/emb``, ``view of model/flat``."""
    if row.tied_to is not None:
        return f"tied to {shown(row.tied_to)}"
    if row.view_of is not None:
        return f"view of {shown(row.view_of)}"
    if row.kept is not Kept.MIXED:
        words = str(row.kept)
    else:
        words = ", ".join(f"{count} {kept}" for kept, count in row.chunks.items())
    return f"{words} (rank {row.rank})" if row.rank else words


def inventory_document(rows: Sequence[InventoryRow]) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "part": row.part,
            "dtype": row.dtype.name,
            "shape": row.shape,
            "plain_bytes": row.plain_bytes,
            "stored_bytes": row.stored_bytes,
            "kept": str(row.kept),
            "chunks": {str(kept): count for kept, count in row.chunks.items()},
            "recipes": row.recipes,
            "rank": row.rank,
            "tied_to": row.tied_to,
            "view_of": row.view_of,
        }
        for row in rows
    ]


def typed_lines(typed: TypedBytes | None) -> Iterator[str]:
    """How much of a commit's files is typed; nothing for that of a live state."""
    if typed is not None:
        yield f"typed as tensors: {percent(typed.share)} of {size(typed.total)} in files"


def typed_document(typed: TypedBytes | None) -> dict[str, int | None]:
    """``typed_bytes`` and ``file_bytes``, both None for the commit of a live state."""
    return {
        "typed_bytes": None if typed is None else typed.typed,
        "file_bytes": None if typed is None else typed.total,
    }
