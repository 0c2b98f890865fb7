"""What a commit is made of, whether it was a live state or a file: parts with a skeleton and tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deltackpt.errors import FormatError
from deltackpt.formats.checksums import first_mismatch
from deltackpt.formats.file_tensor import FileTensor
from deltackpt.formats.reading import Reading
from deltackpt.formats.sniff import read
from deltackpt.formats.source_file import SourceFile, open_source
from deltackpt.formats.spans import Literal, TensorSpan
from deltackpt.history.objects import FileSkeleton, Form, encode
from deltackpt.skeleton.capture import CapturedTensor, capture
from deltackpt.tensor.dtype import dtype_named

SHORT_LITERAL_BYTES = 1 << 16

_BYTE = dtype_named("uint8")


@dataclass(frozen=True, slots=True)
class ContentPart:
    """A part to be committed."""

    name: str
    form: Form
    skeleton: bytes
    tensors: tuple[CapturedTensor, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that one commit holds. ``warning`` is what was wrong with a file that is kept all the same."""

    parts: tuple[ContentPart, ...]
    warning: FormatError | None = None


def state_content(state: object) -> Content:
    """A live state; its tensors are read while the commit runs and must not change until it returns."""
    return Content(tuple(ContentPart(p.name, Form.STATE, p.skeleton, p.tensors) for p in capture(state).parts))


@contextmanager
def file_content(path: str, *, keep_damaged: bool = False) -> Iterator[Content]:
    """A checkpoint file, open while the block runs; FormatError when it changed meanwhile.

    A file that is damaged, or that no reader understands, is one too, unless ``keep_damaged``: then what is not
    understood is kept as plain bytes, and ``warning`` says what was wrong.
    """
    with open_source(path) as file:
        reading = read(file)
        warning = reading.warning or first_mismatch(file, reading.checksums)
        if warning is not None and not keep_damaged:
            raise warning
        yield Content((_file_part(file, os.path.basename(path), reading),), warning)
        file.check_unchanged()


def _file_part(file: SourceFile, name: str, reading: Reading) -> ContentPart:
    """Tensors become rows of the table; so do long literals, which a skeleton, held in memory, has no room for."""
    spans: list[bytes | int] = []
    tensors: list[CapturedTensor] = []
    long_literals = 0
    for span in reading.spans:
        if isinstance(span, Literal) and span.length <= SHORT_LITERAL_BYTES:
            spans.append(file.read(span.offset, span.length))
            continue
        if isinstance(span, Literal):
            span = TensorSpan(f"(bytes {long_literals})", _BYTE, (span.length,), span.offset, span.length)
            long_literals += 1
        spans.append(len(tensors))
        tensors.append(CapturedTensor(span.name, FileTensor(file, span)))
    return ContentPart("", Form.FILE, encode(FileSkeleton(name, reading.format, tuple(spans))), tuple(tensors))
