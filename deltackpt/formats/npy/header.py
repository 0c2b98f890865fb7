"""The header of a ``.npy`` file: a Python dictionary as text, read with patterns and not evaluated.

::

    offset  size    field
    0       6       the magic, 93 4E 55 4D 50 59
    6       2       version: 1.0, 2.0 or 3.0
    8       2 or 4  H, length of the header (4 bytes from version 2.0 on), little-endian
    .       H       {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } and spaces
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import NoReturn

from deltackpt.errors import FormatError, LimitError, UnsupportedError
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint, excerpt
from deltackpt.tensor.dtype import DTYPES, DType, dtype_named

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 1 << 20
MAX_BYTES = (1 << 63) - 1

_PREFIX_BYTES = 8
_SPACE = rb"[ \t\n\r]*+"
_TEXT = rb"'([^'\\]*+)'|\"([^\"\\]*+)\""
_FIELD = re.compile(_SPACE + rb"(?:'(\w+)'|\"(\w+)\")" + _SPACE + rb":" + _SPACE)
_DESCR = re.compile(_TEXT)
_ORDER = re.compile(rb"(True|False)")
# Possessive quantifiers (*+) never give back what they matched, so no input makes a pattern slow.
_NUMBER = rb"[0-9]{1,19}+L?+" + _SPACE
_SHAPE = re.compile(
    rb"\(" + _SPACE + rb"((?:" + _NUMBER + rb"(?:," + _SPACE + _NUMBER + rb"){0,63}+(?:," + _SPACE + rb")?+)?+)\)"
)
_DIGITS = re.compile(rb"[0-9]+")
_OPEN = re.compile(rb"\{")
_CLOSE = re.compile(_SPACE + rb"\}" + _SPACE + rb"\Z")
_NEXT = re.compile(_SPACE + rb",?" + _SPACE)
_STRUCTURED = re.compile(rb"[\[(]")
_CODE = re.compile(r"([<>|=])([biufcmMSUV])(\d{1,9})(\[[^\]]{1,16}\])?")
_BYTEWISE = "bSV"
_NO_NUMBERS = "mMSUV"
_KINDS = {"i": "int", "u": "uint", "f": "float", "c": "complex"}


@dataclass(frozen=True, slots=True)
class Form:
    """What stands behind a header. ``dtype`` is None for what is no plain little-endian type; its bytes stay bytes.

    ``shape`` is that of the bytes as they lie, row-major: an array in Fortran's order comes transposed. ``told`` is
    NumPy's word for a type that the bytes alone do not tell: objects, texts, times, raw bytes, another byte order.
    """

    length: int
    dtype: DType | None
    shape: tuple[int, ...]
    told: str | None = None

    @property
    def nbytes(self) -> int:
        return 0 if self.dtype is None else prod(self.shape) * self.dtype.itemsize


def read_header(file: SourceFile, offset: int, length: int) -> Form:
    """The header at ``offset`` of an array that takes ``length`` bytes, header included."""
    if length < _PREFIX_BYTES + 2:
        _refuse(file, "an array", offset, f"at least {_PREFIX_BYTES + 2} bytes", str(length))
    prefix = file.read(offset, _PREFIX_BYTES)
    if not prefix.startswith(MAGIC):
        _refuse(file, "an array", offset, repr(MAGIC), repr(prefix))
    major, minor = prefix[6:]
    if major not in (1, 2, 3) or minor:
        _refuse(file, "the version", offset + 6, "1.0, 2.0 or 3.0", f"{major}.{minor}", UnsupportedError)
    width = 2 if major == 1 else 4
    size = int.from_bytes(file.read(offset + _PREFIX_BYTES, min(width, length - _PREFIX_BYTES)), "little")
    start = _PREFIX_BYTES + width
    if size > MAX_HEADER_BYTES:
        _refuse(file, "the header", offset + 8, f"at most {MAX_HEADER_BYTES} bytes", str(size), LimitError)
    if start + size > length:
        _refuse(file, "the header", offset + 8, f"at most {max(0, length - start)} bytes", str(size))
    text = file.read(offset + start, size)
    dtype, shape, told = _Scanner(file, text, offset + start).form()
    return Form(start + size, dtype, shape, told)


class _Scanner:
    """Reads the dictionary's three fields, in any order."""

    def __init__(self, file: SourceFile, text: bytes, base: int) -> None:
        self._file = file
        self._text = text
        self._base = base
        self._at = 0

    def form(self) -> tuple[DType | None, tuple[int, ...], str | None]:
        self._match(_OPEN, "a dictionary")
        found: dict[str, object] = {}
        while (field := _FIELD.match(self._text, self._at)) is not None:
            self._at = field.end()
            name = (field.group(1) or field.group(2)).decode()
            if name in found:
                self._refuse("each field once", name)
            found[name] = self._value(name)
            if found[name] is None:
                return None, (), "with fields"
            self._match(_NEXT, "a comma")
        self._match(_CLOSE, "the closing brace")
        if found.keys() != {"descr", "fortran_order", "shape"}:
            self._refuse("descr, fortran_order and shape", f"{sorted(found)}")
        descr = str(found["descr"])
        dtype, shape = self._described(descr, found["shape"], found["fortran_order"] is True)
        return dtype, shape, descr if dtype is None or descr[1:2] in _NO_NUMBERS else None

    def _value(self, name: str) -> object:
        """A field's value; None for a structured element type, whose arrays stay bytes."""
        if name == "descr":
            if _STRUCTURED.match(self._text, self._at):
                return None
            text = self._match(_DESCR, "a type's name in quotes")
            return (text.group(1) or text.group(2) or b"").decode("latin-1")
        if name == "fortran_order":
            return self._match(_ORDER, "True or False").group(1) == b"True"
        if name != "shape":
            self._refuse("descr, fortran_order and shape", repr(name))
        return tuple(map(int, _DIGITS.findall(self._match(_SHAPE, "at most 64 extents")[1])))

    def _described(self, descr: str, shape: object, fortran: bool) -> tuple[DType | None, tuple[int, ...]]:
        extents: tuple[int, ...] = shape  # type: ignore[assignment]
        element = _element(descr)
        if element is None:
            return None, ()
        dtype, units = element
        if prod(filter(None, (*extents, *units))) * dtype.itemsize > MAX_BYTES:
            self._refuse(f"at most {MAX_BYTES} bytes", str(list(extents)), LimitError)
        return dtype, (*(reversed(extents) if fortran else extents), *units)

    def _match(self, pattern: re.Pattern[bytes], expected: str) -> re.Match[bytes]:
        found = pattern.match(self._text, self._at)
        if found is None:
            self._refuse(expected, excerpt(self._text, self._at, "the end of the header"))
        self._at = found.end()
        return found

    def _refuse(self, expected: str, found: str, kind: type[FormatError] = FormatError) -> NoReturn:
        _refuse(self._file, "the header", self._base + self._at, expected, found, kind)


def _element(descr: str) -> tuple[DType, tuple[int, ...]] | None:
    """The plain type of one element and, for text and raw bytes, how many of them make it; None for all others.

    Types that NumPy does not know, such as bfloat16, are written as raw bytes of their width.
    """
    found = _CODE.fullmatch(descr)
    if found is None:
        return None
    order, kind, size = found[1], found[2], int(found[3])
    if order == ">" and ((kind not in _BYTEWISE and size > 1) or kind == "U"):
        return None
    match kind:
        case "b":
            return (dtype_named("bool"), ()) if size == 1 else None
        case "m" | "M":
            return (dtype_named("int64"), ()) if size == 8 else None
        case "U":
            return (dtype_named("uint32"), (size,)) if size else None
        case "S":
            return (dtype_named("uint8"), (size,)) if size else None
        case "V":
            word = DTYPES.get(f"uint{8 * size}")
            return (word, ()) if word is not None else (dtype_named("uint8"), (size,)) if size else None
        case _:
            dtype = DTYPES.get(f"{_KINDS[kind]}{8 * size}")
            return None if dtype is None else (dtype, ())


def _refuse(
    file: SourceFile, what: str, at: int, expected: str, found: str, kind: type[FormatError] = FormatError
) -> NoReturn:
    raise kind(complaint(file.name, what, at, expected, found))
