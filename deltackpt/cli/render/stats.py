"""The savings report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deltackpt.cli.columns import aligned
from deltackpt.cli.text import counted, percent, shown, size, times
from deltackpt.maintenance.stats import PartStats, Stats

_HEAD = ("part", "committed", "dedup", "deltas", "planes", "stored", "ratio")
_RIGHT = frozenset(range(1, len(_HEAD)))
# A state's own top level (scalars, the order of its parts), or a whole file.
TOP_LEVEL = "(top level)"


def stats_lines(stats: Stats) -> Iterator[str]:
    """Savings by part, then from plain bytes to bytes on disk, then what reading costs."""
    yield from aligned([_HEAD, *_parts(stats)], _RIGHT)
    yield ""
    yield from aligned([*_steps(stats)], frozenset({1, 2}))
    yield ""
    counts = (stats.commits, "commit"), (stats.chunks, "chunk"), (stats.packs, "pack"), (stats.records, "log record")
    yield ", ".join(counted(count, noun) for count, noun in counts)
    yield f"longest chain {counted(stats.max_rank, 'delta')}; the newest commit decodes in {_decoding(stats)}"
    yield _garbage(stats)
    if stats.unreadable:
        yield f"{counted(stats.unreadable, 'damaged part')} of commits left out; run `deltackpt verify`"


def _parts(stats: Stats) -> Iterator[tuple[str, ...]]:
    for name, part in sorted(stats.parts.items(), key=lambda item: -item[1].logical_bytes):
        if part.logical_bytes:
            yield _part(shown(name) if name else TOP_LEVEL, part)
    yield _part("all", stats.total)


def _part(name: str, part: PartStats) -> tuple[str, ...]:
    ratio = times(part.logical_bytes / part.stored_bytes) if part.stored_bytes else "-"
    saved = (size(-saved) for saved in (part.dedup_saved, part.delta_saved, part.planes_saved))
    return name, size(part.logical_bytes), *saved, size(part.stored_bytes), ratio


def _steps(stats: Stats) -> Iterator[tuple[str, str, str]]:
    """Each saving, and its share of what was committed."""
    rows = (
        ("committed", stats.logical_bytes),
        ("saved by deduplication", -stats.dedup_saved),
        ("saved by deltas", -stats.delta_saved),
        ("saved by planes", -stats.planes_saved),
        ("data stored", stats.data_bytes),
        ("on disk", stats.disk_bytes),
    )
    for name, count in rows:
        yield name, size(count), percent(count / stats.logical_bytes) if stats.logical_bytes else "-"


def _decoding(stats: Stats) -> str:
    speed = f"{1000 / stats.decode_ns:,.0f} MB/s a core" if stats.decode_ns else "no time"
    return f"about {stats.decode_ns:.1f} ns a byte ({speed})"


def _garbage(stats: Stats) -> str:
    if stats.garbage_bytes is None:
        return "gc would refuse to work on a damaged store"
    if stats.garbage_bytes <= 0:
        return "no garbage"
    return f"{size(stats.garbage_bytes)} of garbage waits for `deltackpt gc`"


def stats_document(stats: Stats) -> dict[str, Any]:
    of_part = ("logical_bytes", "unique_bytes", "dedup_saved", "delta_saved", "planes_saved", "stored_bytes")
    parts = {name: {field: getattr(part, field) for field in of_part} for name, part in stats.parts.items()}
    fields = ("commits", "logical_bytes", "dedup_saved", "delta_saved", "planes_saved", "data_bytes", "disk_bytes")
    more = ("garbage_bytes", "unreadable", "packs", "records", "chunks", "max_rank", "decode_ns", "ratio")
    return {name: getattr(stats, name) for name in (*fields, *more)} | {"parts": parts}
