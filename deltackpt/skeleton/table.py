"""What a commit says about each tensor of a part, without its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.tensor.dtype import DType


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One row of a part's tensor table. ``name`` is complete from the root of the state."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
