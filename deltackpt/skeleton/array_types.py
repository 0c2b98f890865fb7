"""NumPy element types: what they are called in a skeleton, and which plain type their bytes have.

A name is NumPy's own string (``<f4``, ``>i8``, ``<U5``, ``<M8[ns]``), or ml_dtypes' word for its types (``bfloat16``).
A structured type is a :class:`Record` of named fields. Nothing here imports NumPy until an array is met.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from deltackpt.errors import FormatError
from deltackpt.skeleton.tags import Tag
from deltackpt.tensor.dtype import DTYPES, DType, dtype_named

if TYPE_CHECKING:
    import numpy as np

    NumpyType: TypeAlias = np.dtype[Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a structured type; ``shape`` is that of a sub-array, else empty."""

    name: str
    offset: int
    shape: tuple[int, ...]
    type: ArrayType


@dataclass(frozen=True, slots=True)
class Record:
    """A structured type: where each field lies within ``itemsize`` bytes."""

    itemsize: int
    fields: tuple[Field, ...]


ArrayType: TypeAlias = str | Record


@dataclass(frozen=True, slots=True)
class PlainForm:
    """What the table says about an array: the element type, and how many of them make one NumPy element.

    ``units`` None: one to one. Otherwise the table's shape has one more dimension of that extent.
    """

    dtype: DType
    units: int | None = None


_NUMBER = re.compile(r"[<>|]([biufc])(\d{1,2})")
_TIME = re.compile(r"[<>][mM]8(\[\d{0,9}[A-Za-zμ]{1,3}\])?")
_TEXT = re.compile(r"[<>|]([SUV])(\d{1,9})")
_ML_NAMES = frozenset(
    {"bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"}
)
_KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}


def described(dtype: NumpyType) -> ArrayType | None:
    """The name of a NumPy type, or None when arrays of it cannot be stored."""
    if dtype.names is not None:
        return _described_record(dtype)
    name = dtype.name if _is_ml_type(dtype) else dtype.str
    return name if plain_form(name, dtype.itemsize) is not None else None


def _described_record(dtype: NumpyType) -> ArrayType | None:
    fields = []
    for name in dtype.names or ():
        inner, offset, *title = dtype.fields[name]  # type: ignore[index]
        base = described(inner.base)
        if base is None or title:
            return None
        fields.append(Field(name, offset, inner.shape, base))
    return Record(dtype.itemsize, tuple(fields)) if dtype.itemsize else None


def _is_ml_type(dtype: NumpyType) -> bool:
    """A type that ml_dtypes registered with NumPy: its string form says only how wide it is."""
    return dtype.type.__module__ == "ml_dtypes"


def plain_form(name: ArrayType, itemsize: int) -> PlainForm | None:
    """How arrays of the type lie in the table, given the bytes of one element; None for a name that is not stored."""
    if isinstance(name, Record):
        return PlainForm(dtype_named("uint8"), itemsize)
    if match := _NUMBER.fullmatch(name):
        return _number_form(match[1], int(match[2]))
    if _TIME.fullmatch(name):
        return PlainForm(dtype_named("int64"))
    if match := _TEXT.fullmatch(name):
        return _text_form(match[1], itemsize)
    return _ml_form(name, itemsize)


def _number_form(kind: str, size: int) -> PlainForm | None:
    dtype = DTYPES.get("bool" if kind == "b" else f"{_KINDS[kind]}{size * 8}")
    return PlainForm(dtype) if dtype is not None and dtype.itemsize == size else None


def _text_form(kind: str, itemsize: int) -> PlainForm | None:
    if itemsize == 0:
        return None
    return PlainForm(dtype_named("uint32"), itemsize // 4) if kind == "U" else PlainForm(dtype_named("uint8"), itemsize)


def _ml_form(name: str, itemsize: int) -> PlainForm | None:
    dtype = DTYPES.get(name)
    # Narrow integers are bytes in the table, as any tool can have them.
    if dtype is not None and dtype.itemsize == itemsize and "int" not in name:
        return PlainForm(dtype)
    return PlainForm(dtype_named("uint8"), None if itemsize == 1 else itemsize) if name.isidentifier() else None


def name_of(dtype: DType) -> str | None:
    """What arrays of a table's type are called; None where NumPy and ml_dtypes have no such type."""
    if dtype.name in _ML_NAMES:
        return dtype.name
    kind = next((kind for kind, word in _KINDS.items() if word == dtype.name.rstrip("0123456789")), None)
    name = f"{'<' if dtype.itemsize > 1 else '|'}{kind}{dtype.itemsize}"
    form = plain_form(name, dtype.itemsize) if kind is not None else None
    return name if form is not None and form.dtype == dtype else None


def units_of(dtype: NumpyType) -> int:
    """How many dimensions the table has for one element of a NumPy type: one where it is several of the table's."""
    name = described(dtype)
    form = None if name is None else plain_form(name, dtype.itemsize)
    return 0 if form is None or form.units is None else 1


def numpy_type(name: ArrayType) -> NumpyType:
    """The NumPy type of a stored name; FormatError when it is not one that this module writes."""
    import numpy as np

    if isinstance(name, Record):
        return _record_type(name)
    if not (name.isidentifier() or any(form.fullmatch(name) for form in (_NUMBER, _TIME, _TEXT))):
        # NumPy's own parser is a small language, and it evaluates parts of it.
        raise FormatError(f"skeleton: array type {name!r:.40} is not one that is stored")
    try:
        dtype = np.dtype(_ml_class(name)) if name.isidentifier() else np.dtype(name)
    except (TypeError, ValueError, AttributeError, OverflowError, MemoryError) as error:
        raise FormatError(f"skeleton: unknown array type {name!r}; was it written by a newer release?") from error
    if described(dtype) != name:
        raise FormatError(f"skeleton: array type {name!r} is not one that is stored")
    return dtype


def _ml_class(name: str) -> Any:
    import ml_dtypes

    found = getattr(ml_dtypes, name)
    if getattr(found, "__module__", None) != "ml_dtypes" or not isinstance(found, type):
        raise TypeError(name)
    return found


def _record_type(record: Record) -> NumpyType:
    import numpy as np

    spec = {
        "names": [field.name for field in record.fields],
        "formats": [(numpy_type(field.type), field.shape) for field in record.fields],
        "offsets": [field.offset for field in record.fields],
        "itemsize": record.itemsize,
    }
    try:
        dtype = np.dtype(spec)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise FormatError(f"skeleton: a structured array type that numpy refuses: {error}") from error
    if described(dtype) != record:
        raise FormatError("skeleton: a structured array type that is not one that is stored")
    return dtype  # type: ignore[no-any-return]


def type_atoms(name: ArrayType) -> tuple[object, ...]:
    """The atoms of a type in a skeleton: a string, or a record written out."""
    if isinstance(name, str):
        return (name,)
    atoms: list[object] = [int(Tag.RECORD_TYPE), name.itemsize, len(name.fields)]
    for field in name.fields:
        atoms += (field.name, field.offset, len(field.shape), *field.shape, *type_atoms(field.type))
    return tuple(atoms)
