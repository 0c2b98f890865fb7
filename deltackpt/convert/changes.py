"""Which tensors are converted, under which names, and to which type of floats."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

from deltackpt.convert.flat import FlatState, FlatTensor
from deltackpt.errors import InvalidInputError, NotFoundError, brief
from deltackpt.formats.wording import quoted
from deltackpt.skeleton.selection import chooser
from deltackpt.tensor.dtype import DTYPES, DType

Floats = Literal["bf16", "fp16", "fp32"]
_ARROW = "=>"
_NAMES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_CHANGED = frozenset({"float64", *_NAMES.values()})


@dataclass(frozen=True, slots=True)
class Renaming:
    """Every match of ``pattern`` in a name becomes ``replacement``, in which ``\\1`` is the first group."""

    pattern: re.Pattern[str]
    replacement: str

    @classmethod
    def of(cls, text: str) -> Renaming:
        """``REGEX=>REPLACEMENT``; InvalidInputError for anything else."""
        pattern, arrow, replacement = text.partition(_ARROW)
        if not arrow:
            raise InvalidInputError(f"a renaming is 'REGEX=>REPLACEMENT', such as '^model/=>', not {brief(text)}")
        try:
            made = cls(re.compile(pattern), replacement)
            made.pattern.sub(replacement, "")
            re.compile(f"(?:{pattern})|").sub(replacement, "")
        except (re.error, IndexError) as error:
            raise InvalidInputError(f"renaming {brief(text)}: {error}; correct the expression") from None
        return made


@dataclass(frozen=True, slots=True)
class Changes:
    """``select`` is a glob over the names that tensors have before they are renamed; None for all of them."""

    select: str | None = None
    renamings: tuple[Renaming, ...] = ()
    floats: Floats | None = None

    def __post_init__(self) -> None:
        if self.floats is not None and self.floats not in get_args(Floats):
            raise InvalidInputError(f"dtype is one of {', '.join(get_args(Floats))}, not {brief(self.floats)}")

    def made(self, state: FlatState) -> FlatState:
        """The state to be written. NotFoundError when nothing is selected, InvalidInputError for equal names."""
        chosen = chooser(self.select or "*")
        tensors = [self._changed(tensor) for tensor in state.tensors if chosen(tensor.name)]
        values = {self._renamed(name): value for name, value in state.values.items() if chosen(name)}
        missing = tuple(one for one in state.missing if chosen(one.name))
        if not tensors and not missing:
            raise NotFoundError(f"no tensor to convert{f' matches {self.select!r}' if self.select else ''}")
        name, count = next(iter(Counter([*(tensor.name for tensor in tensors), *values]).most_common(1)), ("", 0))
        if count > 1:
            raise InvalidInputError(f"{count} tensors would be named {quoted(name)}; rename them apart")
        whole = state.whole if self == Changes() else None
        return replace(state, tensors=tuple(tensors), values=values, whole=whole, missing=missing)

    def _renamed(self, name: str) -> str:
        for renaming in self.renamings:
            name = renaming.pattern.sub(renaming.replacement, name)
        return name

    def _changed(self, tensor: FlatTensor) -> FlatTensor:
        named = replace(tensor, name=self._renamed(tensor.name))
        if self.floats is None or tensor.dtype.name not in _CHANGED or tensor.dtype.name == _NAMES[self.floats]:
            return named
        dtype = DTYPES[_NAMES[self.floats]]
        return replace(named, dtype=dtype, read=partial(_cast, tensor, dtype))


def _cast(tensor: FlatTensor, dtype: DType) -> memoryview:
    """Rounded to the nearest, ties to even. InvalidInputError for finite values that ``dtype`` cannot hold."""
    import numpy as np

    old = np.frombuffer(tensor.read(), _numpy_type(tensor.dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        new = old.astype(_numpy_type(dtype))
        beyond = np.isinf(new) & np.isfinite(old)
    if beyond.any():
        raise InvalidInputError(
            f"tensor {quoted(tensor.name)} has values that {dtype} cannot hold, such as {float(old[beyond][0]):g};"
            " choose bf16 or fp32, or leave it out with --select"
        )
    return memoryview(new.view(np.uint8).data)


def _numpy_type(dtype: DType) -> Any:
    import ml_dtypes
    import numpy as np

    return np.dtype(ml_dtypes.bfloat16 if dtype.name == "bfloat16" else dtype.name)
