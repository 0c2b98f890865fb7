"""A ``.npy`` file as spans: the header as a literal, then the array."""

from __future__ import annotations

from deltackpt.errors import FormatError
from deltackpt.formats.npy.header import MAGIC, read_header
from deltackpt.formats.reading import Reading, Unread
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan, with_literals
from deltackpt.formats.wording import complaint


def recognises(head: bytes) -> bool:
    return head.startswith(MAGIC)


def read(file: SourceFile) -> Reading:
    """A file that is one array, whose tensor has the empty name. Reads the header only."""
    span, unread = array_span(file, 0, file.size, "")
    return Reading("npy", with_literals([span] if span else [], file.size), unread=(unread,) if unread else ())


def array_span(file: SourceFile, offset: int, length: int, name: str) -> tuple[TensorSpan | None, Unread | None]:
    """The array that takes ``length`` bytes at ``offset``, header included; no span when its bytes stay bytes.

    What is no array of numbers is told beside: texts and times, which are typed as the numbers they are made of, too.
    """
    form = read_header(file, offset, length)
    unread = None if form.told is None else Unread(name, f"an array of NumPy's type {form.told}")
    if form.dtype is None:
        return None, unread
    if form.length + form.nbytes != length:
        what = f"an array of {form.dtype} {list(form.shape)}"
        at = offset + form.length
        raise FormatError(complaint(file.name, what, at, f"{form.nbytes} bytes", str(length - form.length)))
    return TensorSpan(name, form.dtype, form.shape, offset + form.length, form.nbytes), unread
