"""NumPy's side of a capture: how arrays and scalars are described, refused, and read.

Imported only when the program has imported numpy itself. Arrays that are views of one base share it again after
loading; arrays of big-endian numbers are stored little-endian and never share.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import ml_dtypes
import numpy as np

from deltackpt.skeleton.array_types import ArrayType, PlainForm, described, plain_form, type_atoms
from deltackpt.skeleton.boxes import Box
from deltackpt.skeleton.holes import Hole
from deltackpt.skeleton.nodes import NumpyScalar
from deltackpt.skeleton.refusal import UnstorableError
from deltackpt.skeleton.strided_source import StridedSource
from deltackpt.skeleton.tags import READ_ONLY, Tag
from deltackpt.skeleton.view import View, row_major
from deltackpt.skeleton.walk import Walk, Writer
from deltackpt.tensor.dtype import DType

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class LiveArray:
    """An array. ``view`` has one dimension more than the array where an element is several of the table's."""

    array: Array
    view: View

    def own_memory(self) -> memoryview | None:
        array = self._compact()
        return None if _is_swapped(array.dtype) or not array.flags.c_contiguous else _bytes_of(array)

    def copy(self, box: Box, out: memoryview) -> None:
        outer = self.array.ndim
        # The ellipsis keeps an array of no dimensions an array.
        inner: Any = (*box.slices[:outer], ...)
        piece = self._compact()[inner]
        if _is_swapped(piece.dtype):
            piece = piece.astype(piece.dtype.newbyteorder("<"))
        if piece.dtype.names is not None:
            # Copied as opaque bytes, so that padding between fields is that of the original and not chance.
            piece = piece.view(f"V{piece.itemsize}")
        plain = _bytes_of(np.ascontiguousarray(piece))
        if box.shape[outer:] != self.view.shape[outer:]:
            units = np.frombuffer(plain, np.uint8).reshape(-1, self.view.shape[-1], self.view.dtype.itemsize)
            plain = _bytes_of(np.ascontiguousarray(units[:, box.slices[-1]]))
        out[:] = plain

    def _compact(self) -> Array:
        """The array with its expanded dimensions cut down."""
        shape = self.view.shape[: self.array.ndim]
        return self.array if self.array.shape == shape else self.array[Box.whole(shape).slices]


def _bytes_of(array: Array) -> memoryview:
    """The memory of a contiguous array."""
    return memoryview(cast(Any, array.reshape(-1).view(np.uint8))).toreadonly()


def _open(array: Array, view: View) -> StridedSource:
    return StridedSource(LiveArray(array, view), view)


@lru_cache(maxsize=256)
def _stored(dtype: np.dtype[Any]) -> tuple[ArrayType, PlainForm] | None:
    name = described(dtype)
    form = None if name is None else plain_form(name, dtype.itemsize)
    return None if name is None or form is None else (name, form)


def _is_swapped(dtype: np.dtype[Any]) -> bool:
    return dtype.byteorder == ">"


def _base(array: Array) -> Array:
    """The array that owns the memory, as far as NumPy knows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _first_byte(array: Array) -> int:
    """The lowest address of an element; steps backwards lie before the first one."""
    back: int = sum((extent - 1) * step for extent, step in zip(array.shape, array.strides, strict=True) if step < 0)
    return array.ctypes.data + back


def _describe(array: Array, form: PlainForm) -> tuple[View, Hashable]:
    """The array's window on its base, and what stands for that base."""
    unit = form.dtype.itemsize
    tail = () if form.units is None else (form.units,)
    shape = array.shape + tail
    if 0 in shape:
        return View(form.dtype, shape), ("empty", id(array))
    strides: tuple[int, ...] | None = array.strides + ((unit,) if tail else ())
    if strides == row_major(shape, unit):
        strides = None
    if _is_swapped(array.dtype):
        view = View(form.dtype, shape, strides)
        return view if view.is_one_to_one() else View(form.dtype, shape), ("swapped", id(array))
    start = _first_byte(_base(array))
    return View(form.dtype, shape, strides, array.ctypes.data - start), ("numpy", start)


def _array(walk: Walk, array: Array, path: str) -> None:
    known = walk.census.seen.get(id(array))
    if known is not None:
        walk.hole(known.again(path, walk.part))
        return
    name, form = _storable(array.dtype, path)
    view, storage = _describe(array, form)
    flags = 0 if array.flags.writeable else READ_ONLY
    walk.hole(Hole(path, walk.part, int(Tag.ARRAY), flags, type_atoms(name), view, storage, array, _open))


def _storable(dtype: np.dtype[Any], path: str) -> tuple[ArrayType, PlainForm]:
    stored = _stored(dtype)
    if stored is None:
        advice = "store a list of plain values" if dtype.hasobject else "convert it with astype()"
        raise UnstorableError(path, f"arrays of type {dtype} cannot be stored; {advice}")
    return stored


def _scalar(walk: Walk, value: np.generic, path: str) -> None:
    node = scalar_node(value, path)
    walk.atoms += (int(Tag.NUMPY_SCALAR), *type_atoms(node.type))
    walk.blobs.append(node.raw)


def scalar_node(value: np.generic, path: str) -> NumpyScalar:
    """The node of a scalar. Text and bytes would lose trailing NULs as elements of an array, so they are kept whole."""
    if isinstance(value, np.str_):
        return NumpyScalar("str", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, np.bytes_):
        return NumpyScalar("bytes", bytes(value))
    name, _ = _storable(value.dtype, path)
    return NumpyScalar(name, np.asarray(value).tobytes())


def _scalar_types() -> set[type]:
    ours = {kind for kind in vars(ml_dtypes).values() if isinstance(kind, type) and issubclass(kind, np.generic)}
    return {*np.sctypeDict.values(), *ours} - {np.object_}


NUMPY_WRITERS: dict[type, Writer] = {
    np.ndarray: _array,
    **dict.fromkeys(_scalar_types(), _scalar),
}


def table_form(array: Array) -> tuple[DType | str, tuple[int, ...]]:
    """Element type and shape as a tensor table has them; a type that is not stored by its name."""
    stored = _stored(array.dtype)
    if stored is None:
        return str(array.dtype), array.shape
    form = stored[1]
    return form.dtype, array.shape + (() if form.units is None else (form.units,))


def objection(array: Array) -> str | None:
    """Why the values of a live array cannot be replaced; None when they can."""
    return None if array.flags.writeable else "read-only"


def overwrite(array: Array, plain: memoryview) -> None:
    """Replace the values of a live array with C-order little-endian bytes."""
    dtype = array.dtype.newbyteorder("<") if _is_swapped(array.dtype) else array.dtype
    array[...] = np.frombuffer(plain, np.uint8).view(dtype).reshape(array.shape) if array.size else 0
