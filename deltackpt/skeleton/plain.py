"""Values that may be dictionary keys and set elements: plain, hashable, and ordered by nothing but their bytes."""

from __future__ import annotations

from deltackpt.skeleton.tags import MAX_DEPTH

SCALARS = frozenset({type(None), bool, int, float, str, bytes, complex})


def unhashable_part(value: object, depth: int = 0) -> object | None:
    """The first value within ``value`` that cannot be part of a key, wrapped in a 1-tuple; None when all can."""
    kind = type(value)
    if kind in SCALARS:
        return None
    if kind not in (tuple, frozenset) or depth > MAX_DEPTH:
        return (value,)
    found = (unhashable_part(item, depth + 1) for item in value)  # type: ignore[attr-defined]
    return next((item for item in found if item is not None), None)
