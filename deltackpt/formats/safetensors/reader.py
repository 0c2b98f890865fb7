"""A safetensors file as spans: the header as one literal, then the tensors in the order of their bytes.

The header is never rebuilt from its meaning. Writers differ in padding and key order, and the official one writes
two or more metadata keys in random order, so only the original bytes give back the same file.
"""

from __future__ import annotations

import struct
from operator import attrgetter

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.safetensors.header import Header, parse_header
from deltackpt.formats.safetensors.limits import MAX_HEADER_BYTES
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import Literal, Span, check_tiling
from deltackpt.formats.wording import complaint

LENGTH = struct.Struct("<Q")

# What a damaged header may begin with and still be meant as one: JSON's white space and the UTF-8 byte order mark.
_BEFORE_BRACE = b" \t\r\n\xef\xbb\xbf"


def recognises(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is meant as safetensors: JSON begins after a length of 8 bytes."""
    return head[LENGTH.size :].lstrip(_BEFORE_BRACE).startswith(b"{")


def read_spans(file: SourceFile) -> tuple[Span, ...]:
    """The whole file, each byte in exactly one span. Reads the header only.

    Raises FormatError, LimitError, UnsafeError or UnsupportedError; stricter than the official
    library where the format's own text is, and nowhere laxer (``docs/format/spans.md``).
    """
    text = _header_text(file)
    data_start = LENGTH.size + len(text)
    header = parse_header(text, LENGTH.size, file.name)
    tensors = sorted(header.tensors, key=attrgetter("offset", "length"))
    spans: tuple[Span, ...] = (Literal(0, data_start), *tensors)
    check_tiling(spans, file.size, file.name)
    return spans


def read_header(file: SourceFile) -> Header:
    """What the header says, its metadata included. Whether the tensors tile the file is not looked at."""
    return parse_header(_header_text(file), LENGTH.size, file.name)


def _header_text(file: SourceFile) -> bytes:
    """The JSON bytes. The length is compared with the limit and the file before anything is read."""
    if file.size < LENGTH.size:
        found = f"a file of {file.size} bytes"
        raise FormatError(complaint(file.name, "the header's length", 0, "8 bytes", found))
    (length,) = LENGTH.unpack(file.read(0, LENGTH.size))
    if length > MAX_HEADER_BYTES:
        raise LimitError(complaint(file.name, "the header's length", 0, f"at most {MAX_HEADER_BYTES}", str(length)))
    if length > file.size - LENGTH.size:
        expected = f"at most the {file.size - LENGTH.size} bytes that follow"
        raise FormatError(complaint(file.name, "the header's length", 0, expected, str(length)))
    return file.read(LENGTH.size, length)
