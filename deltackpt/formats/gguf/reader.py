"""A GGUF file as spans: the header as one literal, then the tensors, with literals where they are padded."""

from __future__ import annotations

from operator import attrgetter

from deltackpt.errors import FormatError, LimitError, UnsupportedError
from deltackpt.formats.gguf.infos import TensorInfo, read_infos
from deltackpt.formats.gguf.limits import MAX_HEADER_BYTES, MAX_KEYS, MAX_TENSORS
from deltackpt.formats.gguf.metadata import read_alignment
from deltackpt.formats.holes import filled
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import Literal, Span, TensorSpan
from deltackpt.formats.window import Cursor
from deltackpt.formats.wording import complaint

MAGIC = b"GGUF"
VERSIONS = (2, 3)

# Fields of fixed length: name's length, dimensions, type and offset; key's length, type, a value of a byte.
_LEAST_INFO = 24
_LEAST_KEY = 13


def recognises(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is meant as GGUF."""
    return head.startswith(MAGIC)


def read_spans(file: SourceFile) -> tuple[Span, ...]:
    """The whole file, each byte in exactly one span. Reads the header only.

    Raises FormatError, LimitError, UnsafeError, or UnsupportedError for other versions, big-endian files and types
    that are not in the table. Whether a file is one of several (``split.count``) makes no difference.
    """
    cursor = Cursor(file, MAX_HEADER_BYTES)
    tensors, keys = read_counts(cursor)
    alignment = read_alignment(cursor, keys)
    infos = tuple(read_infos(cursor, tensors, alignment))
    return _spans(file, infos, cursor.at, alignment)


def read_counts(cursor: Cursor) -> tuple[int, int]:
    """The beginning of a file: how many tensors it has, and how many keys, which come next."""
    _check_version(cursor)
    tensors = _count(cursor, "the number of tensors", MAX_TENSORS, _LEAST_INFO)
    return tensors, _count(cursor, "the number of keys", MAX_KEYS, _LEAST_KEY)


def _check_version(cursor: Cursor) -> None:
    cursor.skip(len(MAGIC), "the magic")
    byte = cursor.at
    version = cursor.u32("the version")
    if version & 0xFFFF == 0 and version:
        expected = "a little-endian file; convert it with gguf_convert_endian.py"
        cursor.refuse("the version", expected, f"{version:#x}, a big-endian file", byte, UnsupportedError)
    if version not in VERSIONS:
        cursor.refuse("the version", " or ".join(map(str, VERSIONS)), str(version), byte, UnsupportedError)


def _count(cursor: Cursor, what: str, limit: int, least: int) -> int:
    """A number of entries, each of at least ``least`` bytes."""
    byte = cursor.at
    count = cursor.u64(what)
    if count > limit:
        cursor.refuse(what, f"at most {limit}", str(count), byte, LimitError)
    if count * least > cursor.left:
        cursor.refuse(what, f"at most {cursor.left // least}, for which there is room", str(count), byte)
    return count


def _spans(file: SourceFile, infos: tuple[TensorInfo, ...], header_end: int, alignment: int) -> tuple[Span, ...]:
    data_start = header_end + -header_end % alignment
    # A file without tensors may end before its padding does.
    header = Literal(0, data_start if infos else min(data_start, file.size))
    tensors = [TensorSpan(info.name, info.dtype, info.shape, data_start + info.offset, info.length) for info in infos]
    spans = filled((header, *sorted(tensors, key=attrgetter("offset", "length"))), file.size, file.name)
    for span in spans[1:]:
        if isinstance(span, Literal) and span.length >= alignment:
            what = "trailing bytes" if span is spans[-1] else "a hole between tensors"
            expected = f"padding of fewer than {alignment} bytes"
            raise FormatError(complaint(file.name, what, span.offset, expected, str(span.length)))
    return spans
