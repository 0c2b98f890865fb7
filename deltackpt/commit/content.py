"""What a commit is made of, whether it was a live state or a file: parts with a skeleton and tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deltackpt.formats.file_tensor import FileTensor
from deltackpt.formats.sniff import read_spans, sniff
from deltackpt.formats.source_file import SourceFile, open_source
from deltackpt.formats.spans import Literal
from deltackpt.history.objects import FileSkeleton, Form, encode
from deltackpt.skeleton.capture import CapturedTensor, capture


@dataclass(frozen=True, slots=True)
class ContentPart:
    """A part to be committed."""

    name: str
    form: Form
    skeleton: bytes
    tensors: tuple[CapturedTensor, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that one commit holds."""

    parts: tuple[ContentPart, ...]


def state_content(state: object) -> Content:
    """A live state; its tensors are read while the commit runs and must not change until it returns."""
    return Content(tuple(ContentPart(p.name, Form.STATE, p.skeleton, p.tensors) for p in capture(state).parts))


@contextmanager
def file_content(path: str) -> Iterator[Content]:
    """A checkpoint file, open while the block runs; FormatError when it changed meanwhile."""
    with open_source(path) as file:
        yield Content((_file_part(file, os.path.basename(path)),))
        file.check_unchanged()


def _file_part(file: SourceFile, name: str) -> ContentPart:
    spans: list[bytes | int] = []
    tensors: list[CapturedTensor] = []
    for span in read_spans(file):
        if isinstance(span, Literal):
            spans.append(file.read(span.offset, span.length))
        else:
            spans.append(len(tensors))
            tensors.append(CapturedTensor(span.name, FileTensor(file, span)))
    kind = sniff(file)
    skeleton = FileSkeleton(name, kind.name if kind is not None else "", tuple(spans))
    return ContentPart("", Form.FILE, encode(skeleton), tuple(tensors))
