"""A ``.npy`` file as spans: the header as a literal, then the array."""

from __future__ import annotations

from deltackpt.errors import FormatError
from deltackpt.formats.npy.header import MAGIC, read_header
from deltackpt.formats.reading import Reading
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan, with_literals
from deltackpt.formats.wording import complaint


def recognises(head: bytes) -> bool:
    return head.startswith(MAGIC)


def read(file: SourceFile) -> Reading:
    """A file that is one array, whose tensor has the empty name. Reads the header only."""
    span = array_span(file, 0, file.size, "")
    return Reading("npy", with_literals([span] if span else [], file.size))


def array_span(file: SourceFile, offset: int, length: int, name: str) -> TensorSpan | None:
    """The array that takes ``length`` bytes at ``offset``, header included; None when its bytes stay bytes."""
    form = read_header(file, offset, length)
    if form.dtype is None:
        return None
    if form.length + form.nbytes != length:
        what = f"an array of {form.dtype} {list(form.shape)}"
        at = offset + form.length
        raise FormatError(complaint(file.name, what, at, f"{form.nbytes} bytes", str(length - form.length)))
    return TensorSpan(name, form.dtype, form.shape, offset + form.length, form.nbytes)
