"""Names of tensors are keys, never paths. Those that some tool could take for a path out of its folder are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ESCAPES = re.compile(r"\0|\A[/\\]|\A[A-Za-z]:[/\\]|(?:\A|[/\\])\.\.(?:[/\\]|\Z)")

SAFE_NAME = "a name without NUL, '..' between separators, or a leading separator or drive"


def is_unsafe(name: str) -> bool:
    """Whether ``name``, used as a path, would leave its folder or end early at a NUL.

    Everything else is harmless as a key: control characters, twins that differ in case or in Unicode
    normalisation, the empty name. Whoever shows a name escapes it.
    """
    return _ESCAPES.search(name) is not None


class DistinctNames:
    """Names that were given already. A file may use one twice where only a position tells them apart."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._taken = set(names)
        self._repeats: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def add(self, name: str) -> str:
        """``name``, or with the first free number behind it when it is taken."""
        found = name
        while found in self._taken:
            self._repeats[name] = self._repeats.get(name, 1) + 1
            found = f"{name}#{self._repeats[name]}"
        self._taken.add(found)
        return found
