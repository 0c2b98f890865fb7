"""NumPy's side of a restoration."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from deltackpt.errors import FormatError
from deltackpt.skeleton.array_types import numpy_type, plain_form
from deltackpt.skeleton.nodes import NumpyArray, NumpyScalar
from deltackpt.skeleton.tags import READ_ONLY
from deltackpt.skeleton.view import View
from deltackpt.tensor.dtype import DType

Array = np.ndarray[Any, Any]


def allocate(nbytes: int, *, zeroed: bool) -> tuple[Array, memoryview]:
    """Bytes as an array, and as a buffer on the same memory."""
    handle = (np.zeros if zeroed else np.empty)(nbytes, dtype=np.uint8)
    return handle, memoryview(cast(Any, handle))


def array(node: NumpyArray, handle: Array, view: View) -> Array:
    """The leaf that ``view`` cuts out of the block ``handle``."""
    dtype = numpy_type(node.type)
    form = plain_form(node.type, dtype.itemsize)
    if form is None or form.dtype != view.dtype or (form.units is not None and view.shape[-1:] != (form.units,)):
        raise FormatError(f"skeleton: an array of {dtype} over elements of {view.dtype} in shape {view.shape}")
    shape, strides = view.shape, view.strides
    if form.units is not None:
        shape, strides = shape[:-1], None if strides is None else strides[:-1]
    made: Array = np.ndarray(shape, dtype, cast(Any, handle), view.offset, strides)
    if dtype.byteorder == ">":
        made.byteswap(inplace=True)
    made.flags.writeable = not node.flags & READ_ONLY
    return made


def of_plain_bytes(plain: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """An array on writable C-order little-endian bytes."""
    made: Array = np.ndarray(shape, dtype, cast(Any, plain))
    return made.byteswap(inplace=True) if dtype.byteorder == ">" else made


def type_of_table(dtype: DType) -> np.dtype[Any]:
    """The NumPy type with the values of a table's type; opaque bytes where NumPy has none."""
    import ml_dtypes

    name = "bool_" if dtype.name == "bool" else dtype.name
    found: Any = getattr(np, name, None) or getattr(ml_dtypes, name, None)
    known: np.dtype[Any] = np.dtype(f"V{dtype.itemsize}" if found is None else found)
    return known if known.itemsize == dtype.itemsize else np.dtype(f"V{dtype.itemsize}")


def scalar(node: NumpyScalar) -> np.generic:
    """The scalar whose bytes the skeleton holds."""
    if node.type == "str":
        return np.str_(node.raw.decode("utf-8", "surrogatepass"))
    if node.type == "bytes":
        return np.bytes_(node.raw)
    dtype = numpy_type(node.type)
    if len(node.raw) != dtype.itemsize:
        raise FormatError(f"skeleton: {len(node.raw)} bytes for a scalar of {dtype}")
    return cast(np.generic, np.ndarray((), dtype, bytearray(node.raw))[()])
