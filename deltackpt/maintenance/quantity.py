"""Durations and sizes as people write them: ``7d``, ``200GB``. What is written reads back as the same value."""

from __future__ import annotations

import datetime
import re
from fractions import Fraction

from deltackpt.errors import InvalidInputError

_DURATION = re.compile(r"([0-9]{1,12})\s*([smhdw])")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([kmgtp]?)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_duration(text: str) -> datetime.timedelta:
    """``90m``, ``12h``, ``7d``, ``2w``; InvalidInputError otherwise."""
    match = _DURATION.fullmatch(text.strip())
    if match is not None:
        seconds = 7 * _SECONDS["d"] if match[2] == "w" else _SECONDS[match[2]]
        try:
            return datetime.timedelta(seconds=int(match[1]) * seconds)
        except OverflowError:
            pass
    raise InvalidInputError(f"a duration such as 90m, 12h, 7d or 2w is needed, not {text!r}")


def duration_text(span: datetime.timedelta) -> str:
    """A duration of whole seconds in the largest unit that holds it exactly."""
    seconds = span // datetime.timedelta(seconds=1)
    unit = next(unit for unit, size in _SECONDS.items() if seconds % size == 0) if seconds else "s"
    return f"{seconds // _SECONDS[unit]}{unit}"


def parse_size(text: str) -> int:
    """Bytes: ``200GB`` (thousands), ``256MiB`` (powers of 1024), ``1.5TB``, or a bare number."""
    match = _SIZE.fullmatch(text.strip())
    if match is not None and (match[2] or not match[3]):
        size = Fraction(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()]
        if size.denominator == 1:
            return int(size)
    raise InvalidInputError(f"a size such as 500MB, 200GB or 256MiB is needed, not {text!r}")


def size_text(size: int) -> str:
    """A size in the unit that takes the fewest digits and loses nothing."""
    told = {f"{unit}B": 1000**power for unit, power in _POWERS.items()}
    told |= {f"{unit}iB": 1024**power for unit, power in _POWERS.items() if unit}
    exact = [(size // bytes_, unit) for unit, bytes_ in told.items() if size % bytes_ == 0]
    count, unit = min(exact, key=lambda found: found[0])
    return f"{count}{unit if unit in ('B', 'kB') else unit[0].upper() + unit[1:]}"
