"""Names of tensors are keys, never paths. Those that some tool could take for a path out of its folder are refused."""

from __future__ import annotations

import re

_ESCAPES = re.compile(r"\0|\A[/\\]|\A[A-Za-z]:[/\\]|(?:\A|[/\\])\.\.(?:[/\\]|\Z)")

SAFE_NAME = "a name without NUL, '..' between separators, or a leading separator or drive"


def is_unsafe(name: str) -> bool:
    """Whether ``name``, used as a path, would leave its folder or end early at a NUL.

    Everything else is harmless as a key: control characters, twins that differ in case or in Unicode
    normalisation, the empty name. Whoever shows a name escapes it.
    """
    return _ESCAPES.search(name) is not None
