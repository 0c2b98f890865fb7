"""How the refusal of an input file is worded: ``file: what at byte N; expected X, found Y``, on one line.

Whatever came from the file is shown through ``repr``, cut short: it may hold control characters that a
terminal would obey, or be megabytes long.
"""

from __future__ import annotations

from collections.abc import Sequence

SHOWN_CHARACTERS = 80
SHOWN_BYTES = 24


def quoted(text: str) -> str:
    """A name from a file, safe to print on one line."""
    return repr(text) if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]!r}... ({len(text)} characters)"


def excerpt(raw: bytes, at: int, otherwise: str) -> str:
    """The first bytes of ``raw`` from ``at``, or ``otherwise`` when nothing is left there."""
    piece = raw[at : at + SHOWN_BYTES]
    return repr(piece) if piece else otherwise


def shown_path(path: str) -> str:
    """A path as people typed it, unless it holds something that is not printable."""
    return path if path and path.isprintable() else repr(path)


def listed(texts: Sequence[str], most: int) -> str:
    """``a, b and 3 more``: at most so many of ``texts``, which are safe to print."""
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def complaint(file: str, what: str, at: int, expected: str, found: str) -> str:
    """One line; ``file`` is already safe to print, ``at`` counts from the start of the file."""
    return f"{file}: {what} at byte {at}; expected {expected}, found {found}"
