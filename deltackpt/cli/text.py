"""Single values as people read them.

Whatever comes from a store or a file goes through :func:`shown`: a name can hold anything, and a terminal obeys
what it is sent.
"""

from __future__ import annotations

import datetime

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")


def shown(text: str, limit: int | None = None) -> str:
    """``text`` on one line with everything that is not printable escaped, cut to ``limit`` characters."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if limit is None or len(text) <= limit else f"{text[: limit - 3]}..."


def size(count: float) -> str:
    """Bytes in decimal units, three digits: ``842 B``, ``1.23 MB``, ``45.6 GB``."""
    if abs(count) < 1000:
        return f"{count:.0f} B"
    value = float(count)
    for unit in _UNITS:
        value /= 1000
        # 999.5 would round to four digits.
        if abs(value) < 999.5 or unit == _UNITS[-1]:
            break
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def figure(value: float) -> str:
    """A metric or a measure, four significant digits."""
    return f"{value:.4g}"


def times(ratio: float) -> str:
    """How many times smaller: ``3.4x``."""
    return f"{ratio:.1f}x" if ratio < 100 else f"{ratio:.0f}x"


def percent(fraction: float) -> str:
    """``12.3 %``; what is not quite nothing, or not quite all, does not read as such."""
    if 0 < fraction < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if 0.999 < fraction < 1 else f"{100 * fraction:.1f} %"


def seconds(count: float) -> str:
    """A time that was estimated: ``4 ms``, ``1.2 s``, ``95 s``."""
    if count < 0.9995:
        return f"{1000 * count:.0f} ms"
    return f"{count:.1f} s" if count < 9.95 else f"{count:.0f} s"


def moment(time: datetime.datetime) -> str:
    """A time of day in the reader's own time zone."""
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def counted(count: int, noun: str) -> str:
    """``1 tensor``, ``2 tensors``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shape(extents: tuple[int, ...]) -> str:
    """``512 x 128``; a scalar is ``-``."""
    return " x ".join(map(str, extents)) or "-"
