"""Tensors as NumPy arrays, for the libraries that take nothing else."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

from deltackpt.convert.flat import FlatState, FlatTensor
from deltackpt.errors import InvalidInputError
from deltackpt.formats.wording import quoted

if TYPE_CHECKING:
    import numpy as np

# Those of NumPy itself, without what ml_dtypes adds.
NUMPY_TYPES = frozenset(
    (
        *("float64", "float32", "float16", "complex64", "complex128", "bool"),
        *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)),
    )
)
_ROUNDED = frozenset({"bfloat16", "float16"})


def check_types(state: FlatState, format: str, known: Container[str]) -> None:
    """InvalidInputError for a tensor whose element type is not ``known``, which are those of ``format``."""
    for tensor in state.tensors:
        if tensor.dtype.name not in known:
            advice = "convert it with --dtype fp32, or " if tensor.dtype.name in _ROUNDED else ""
            raise InvalidInputError(
                f"tensor {quoted(tensor.name)}: {format} no {tensor.dtype}; {advice}leave it out with --select"
            )


def array_of(tensor: FlatTensor) -> np.ndarray[Any, Any]:
    """The tensor, read. Its type is one that NumPy or ml_dtypes has."""
    from deltackpt.skeleton.numpy_build import of_plain_bytes, type_of_table

    return of_plain_bytes(tensor.read(), type_of_table(tensor.dtype), tensor.shape)
