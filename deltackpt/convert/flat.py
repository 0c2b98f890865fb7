"""What is converted: tensors by name, read one at a time, and the values beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from deltackpt.errors import DeltackptError, InvalidInputError
from deltackpt.formats.gguf.values import Keys
from deltackpt.formats.wording import listed, quoted
from deltackpt.tensor.dtype import DType

_MAX_BITS = 255 * 8 - 1
"""What a pickle has a short form for, which is all that PyTorch loads with ``weights_only``."""
VALUES = "deltackpt.values"
"""Where formats with room for metadata keep values: as JSON by name, under this key."""


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


def nothing_changes() -> None:
    """A commit never does."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is told about the tensors where they come from.

    ``metadata`` are JSON values by key; ``keys`` are those of the GGUF files that they are in, or ``no_keys`` says why
    there are none for all of them; ``left`` tells what of the files goes into no other, ``bare`` are those of a folder
    that hold no tensors and no values. ``config`` is the model's ``config.json``, or the run's configuration; it is
    read when it is asked for.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    keys: Keys = field(default_factory=dict)
    no_keys: DeltackptError | None = None
    left: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    config: Callable[[], Any] = field(default=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Missing:
    """What stands under ``name`` and cannot be converted: ``what`` it is, and the ``file`` that has it.

    The empty name is that of all that the file holds.
    """

    name: str
    file: str
    what: str

    def __str__(self) -> str:
        return f"{f'{quoted(self.name)} in ' if self.name else ''}{self.file}: {self.what}"


@dataclass(frozen=True, slots=True)
class Whole:
    """What makes the nested state of its tensors again: the skeletons of its parts, and large values.

    Those have their bytes in the tensor tables, as tensors do.
    """

    skeletons: Mapping[str, bytes]
    large: tuple[FlatTensor, ...]


@dataclass(frozen=True, slots=True)
class FlatState:
    """``values`` are plain values by name, and nodes of skeletons for what is nothing plain.

    ``check_unchanged``, after the last read, raises when somebody wrote to what was read. ``whole`` is None as soon as
    the tensors are no longer all those of the state, as they are there. ``missing`` is what the state lacks of what
    stands where it comes from.
    """

    tensors: tuple[FlatTensor, ...]
    values: Mapping[str, Any]
    check_unchanged: Callable[[], None] = nothing_changes
    origin: Origin = field(default_factory=Origin)
    whole: Whole | None = None
    missing: tuple[Missing, ...] = ()

    @property
    def nbytes(self) -> int:
        """Plain bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def values_text(self, format: str) -> str | None:
        """The values as JSON, None when there are none. InvalidInputError for what is no number, text or None."""
        self.refuse_nodes(format)
        return self.plain_values_text()

    def plain_values_text(self) -> str | None:
        """Those values that are numbers, texts or None, as JSON; None when there are none."""
        plain = {name: value for name, value in self.values.items() if is_plain(value)}
        return json.dumps(plain, separators=(",", ":"), sort_keys=True) if plain else None

    def refuse_missing(self) -> None:
        """InvalidInputError when something cannot be converted."""
        if self.missing:
            raise InvalidInputError(
                f"{listed(list(map(str, self.missing)), 1)} cannot be converted;"
                " leave it out with --select or --part, or convert the rest with --lossy"
            )

    def plain(self) -> FlatState:
        """Without values that are neither numbers, texts nor None."""
        return replace(self, values={name: value for name, value in self.values.items() if is_plain(value)})

    def refuse_blocks(self) -> None:
        """InvalidInputError for quantised blocks."""
        for tensor in self.tensors:
            if tensor.dtype.block_values is not None:
                format, _, _ = tensor.dtype.name.partition(".")
                holds, take = ("GGUF", "take --format gguf") if format == "gguf" else (format, "check it out as it is")
                raise InvalidInputError(
                    f"tensor {quoted(tensor.name)} is quantised ({tensor.dtype}), which only {holds} holds;"
                    f" {take}, or leave it out with --select"
                )

    def refuse_values(self, format: str) -> None:
        """InvalidInputError when there are values, for which ``format`` has no place."""
        if self.values:
            raise InvalidInputError(
                f"{told(list(self.values))}: {format} holds tensors only;"
                " leave values out with --select, --part or --lossy"
            )

    def refuse_nodes(self, format: str) -> None:
        """InvalidInputError when there are values that are neither numbers, texts nor None."""
        others = [name for name, value in self.values.items() if not is_plain(value)]
        if others:
            raise InvalidInputError(
                f"{told(others)}: {format} holds tensors, numbers and texts;"
                " leave others out with --select, --part or --lossy"
            )


def is_plain(value: object) -> bool:
    """Whether a value is a text, None or a number, and not a whole number of hundreds of digits."""
    return isinstance(value, float | str | None) or (isinstance(value, int) and value.bit_length() <= _MAX_BITS)


def told(names: list[str]) -> str:
    """The first of some names, for people, and how many more there are."""
    return listed(list(map(quoted, names)), 1)
