"""Documents for programs: plain JSON, also where a value has no word in it."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from typing import Any


def as_json(value: Any) -> str:
    """``value`` as indented ASCII. NaN and infinities are the strings ``NaN``, ``Infinity`` and ``-Infinity``."""
    return json.dumps(_plain(value), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else _WORDS[str(value)]
        case bytes():
            return value.hex()
        case datetime.datetime():
            return value.isoformat()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    # Numbers of NumPy; the others have no word in JSON.
    plain = value.item() if hasattr(value, "dtype") and hasattr(value, "item") else None
    return repr(value) if plain is None else _plain(plain)


_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
