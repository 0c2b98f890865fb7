"""Names for the tensors of one file, each there once."""

from __future__ import annotations

from deltackpt.formats.pickles.paths import Step, name_of

MAX_NAMES_BYTES = 1 << 26
"""Of all names of a file together; the tensors beyond get numbers."""


class Namer:
    """Gives out names."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._left = MAX_NAMES_BYTES

    def name(self, step: Step | None, suffix: str = "") -> str:
        """The name of what stands at ``step`` in the state.

        A tensor whose place has no usable name is numbered; the second of one name gets ``~2``.
        """
        found = name_of(step)
        if found is None or self._left < 0:
            found = f"tensor {len(self._taken)}"
        self._left -= len(found)
        return self._distinct(found + suffix)

    def _distinct(self, name: str) -> str:
        while (count := self._taken.get(name, 0) + 1) > 1:
            self._taken[name] = count
            name = f"{name}~{count}"
        self._taken[name] = 1
        return name
