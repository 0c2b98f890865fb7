"""What is converted: tensors by name, read one at a time, and the values beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from deltackpt.errors import InvalidInputError
from deltackpt.formats.wording import quoted
from deltackpt.tensor.dtype import DType


@dataclass(frozen=True, slots=True)
class FlatTensor:
    """``read`` gives all plain bytes: row-major, little-endian, in memory that nobody changes."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    read: Callable[[], memoryview] = field(compare=False)

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * prod(self.shape)


def _nothing_changes() -> None:
    """A commit never does."""


@dataclass(frozen=True, slots=True)
class FlatState:
    """``values`` are plain values by name, and nodes of skeletons for what is nothing plain.

    ``check_unchanged``, after the last read, raises when somebody wrote to what was read.
    """

    tensors: tuple[FlatTensor, ...]
    values: Mapping[str, Any]
    check_unchanged: Callable[[], None] = _nothing_changes

    def refuse_values(self, format: str) -> None:
        """InvalidInputError when there are values, for which ``format`` has no place."""
        if self.values:
            raise InvalidInputError(
                f"{_told(list(self.values))}: {format} holds tensors only; leave values out with --select or --part"
            )

    def refuse_nodes(self, format: str) -> None:
        """InvalidInputError when there are values that are neither numbers, texts nor None."""
        others = [name for name, value in self.values.items() if not isinstance(value, int | float | str | None)]
        if others:
            raise InvalidInputError(
                f"{_told(others)}: {format} holds tensors, numbers and texts; leave others out with --select or --part"
            )


def _told(names: list[str]) -> str:
    return quoted(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")
