"""Calls of NumPy's functions: arrays and scalars whose bytes stand in the pickle, and their element types.

Both names of NumPy's inner package are known: ``numpy.core`` of version 1 and ``numpy._core`` of version 2.
"""

from __future__ import annotations

from deltackpt.formats.pickles.misfit import Budget, fits
from deltackpt.formats.pickles.nodes import Node, NumpyArray, NumpyDtype, NumpyScalar, Symbol
from deltackpt.formats.pickles.python_builders import Arguments, Builder
from deltackpt.formats.pickles.torch_builders import counts

_LONGEST_CODE = 64
_LONGEST_STATE = 16


def _dtype(args: Arguments, budget: Budget) -> NumpyDtype:
    fits(len(args) in (1, 2, 3))
    code = args[0].name if type(args[0]) is Symbol else args[0]
    fits(type(code) is str and 0 < len(code) <= _LONGEST_CODE)
    return NumpyDtype(code)


def _empty_array(args: Arguments, budget: Budget) -> NumpyArray:
    """``_reconstruct(class, shape, code)``: all that counts comes with BUILD."""
    fits(len(args) == 3 and type(args[0]) is Symbol and args[0].name == "numpy.ndarray")
    return NumpyArray()


def _array_of_buffer(args: Arguments, budget: Budget) -> NumpyArray:
    fits(len(args) == 4 and type(args[0]) in (bytes, bytearray) and type(args[1]) is NumpyDtype)
    fits(args[3] in ("C", "F"))
    return NumpyArray(args[1], counts(args[2], "an array's shape"), args[3] == "F", args[0])


def _scalar(args: Arguments, budget: Budget) -> NumpyScalar:
    fits(len(args) == 2 and type(args[0]) is NumpyDtype)
    return NumpyScalar(args[0], args[1])


def build_array(array: NumpyArray, state: Node) -> None:
    """What ``ndarray.__setstate__`` is given: version, shape, type, order, and the bytes or the objects."""
    fits(type(state) is tuple and len(state) == 5)
    _, shape, dtype, fortran, raw = state
    fits(type(dtype) is NumpyDtype and type(fortran) is bool and type(raw) in (bytes, list))
    array.dtype, array.shape, array.fortran, array.raw = dtype, counts(shape, "an array's shape"), fortran, raw


def build_dtype(dtype: NumpyDtype, state: Node) -> None:
    """What ``dtype.__setstate__`` is given: version, byte order, then what makes a type structured or timed."""
    fits(type(state) is tuple and 5 <= len(state) <= _LONGEST_STATE)
    _, order, *fields = state
    fits(order in ("<", ">", "|", "="))
    dtype.order = order
    dtype.fields = tuple(fields) if dtype.code[:1] in "Mm" or any(field is not None for field in fields[:3]) else None


NUMPY_BUILDERS: dict[str, Builder] = {
    "numpy.dtype": _dtype,
    **{
        f"numpy.{inner}.{name}": build
        for inner in ("core", "_core")
        for name, build in (
            ("multiarray._reconstruct", _empty_array),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _array_of_buffer),
        )
    },
}
