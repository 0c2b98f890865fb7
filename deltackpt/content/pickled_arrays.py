"""NumPy arrays and scalars whose bytes stand in a pickle."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod

from deltackpt.content.unfit import UnfitError, fits
from deltackpt.formats.pickles.nodes import Node, NumpyDtype
from deltackpt.formats.pickles.nodes import NumpyArray as InertArray
from deltackpt.formats.pickles.nodes import NumpyScalar as InertScalar
from deltackpt.skeleton.array_types import plain_form
from deltackpt.skeleton.nodes import NumpyScalar
from deltackpt.tensor.dtype import DType


@dataclass(frozen=True, slots=True)
class PlainArray:
    """An array of numbers: its NumPy type, the table's type and shape, and its bytes in C order."""

    type: str
    dtype: DType
    shape: tuple[int, ...]
    plain: bytes

    @property
    def nbytes(self) -> int:
        return len(self.plain)


@dataclass(frozen=True, slots=True)
class ArraySource:
    """The bytes of an array in a pickle, as a source."""

    array: PlainArray

    @property
    def dtype(self) -> DType:
        return self.array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def read(self, start: int, stop: int) -> memoryview:
        return memoryview(self.array.plain)[start:stop]

    def release(self) -> None:
        """The pickle stays in memory as long as the content does."""


def array_of(node: InertArray) -> PlainArray:
    """A little-endian array in C order; UnfitError for any other."""
    name, itemsize = _type(node.dtype)
    form = plain_form(name, itemsize)
    if form is None or form.units is not None or type(node.raw) not in (bytes, bytearray):
        raise UnfitError(f"a NumPy array of type {name}")
    fits(len(node.raw) == prod(node.shape) * itemsize, "a NumPy array whose bytes do not fit its shape")
    # With one long dimension both orders are the same.
    fits(not node.fortran or sum(extent > 1 for extent in node.shape) <= 1, "a NumPy array in Fortran's order")
    return PlainArray(name, form.dtype, node.shape, bytes(node.raw))


def number_of(node: Node, dtype: DType) -> PlainArray:
    """A plain number as an array without dimensions, of float64 or int64."""
    kind = float if dtype.name == "float64" else int
    fits(type(node) is kind, "a scale or zero point that is no number")
    try:
        plain = struct.pack("<d" if kind is float else "<q", node)
    except struct.error:
        raise UnfitError("a zero point beyond 64 bits") from None
    return PlainArray(f"<{dtype.element.name[0].lower()}8", dtype, (), plain)


def scalar_of(node: InertScalar) -> NumpyScalar:
    """A scalar of a plain number; UnfitError for any other."""
    name, itemsize = _type(node.dtype)
    fits(plain_form(name, itemsize) is not None and type(node.raw) is bytes, f"a NumPy scalar of type {name}")
    fits(len(node.raw) == itemsize, "a NumPy scalar whose bytes do not fit its type")
    return NumpyScalar(name, node.raw)


def _type(node: Node) -> tuple[str, int]:
    """NumPy's name of an element type in the one form that skeletons have, and its size."""
    if type(node) is not NumpyDtype or node.fields is not None:
        raise UnfitError("a NumPy array of no plain type")
    kind, size = node.code[:1], node.code[1:]
    fits(kind in "biufc" and size.isdecimal() and len(size) <= 2 and node.order != ">", "a NumPy array of another type")
    itemsize = int(size)
    return f"{'|' if itemsize == 1 else '<'}{kind}{itemsize}", itemsize
