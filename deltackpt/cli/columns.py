"""Tables as aligned plain text: the same in a terminal, a file and a pipe, however many rows."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence


def aligned(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset(), indent: str = "") -> Iterator[str]:
    """Rows of equal length as lines; columns in ``right`` are flush right, the others flush left."""
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (_pad(text, widths[at], at in right) for at, text in enumerate(row))
        yield (indent + "  ".join(padded)).rstrip()


def cells(text: str) -> int:
    """Columns of a terminal that ``text`` takes, which must be printable."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _pad(text: str, width: int, flush_right: bool) -> str:
    room = " " * (width - cells(text))
    return room + text if flush_right else text + room
