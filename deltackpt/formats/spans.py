"""What a reader yields: a file as spans that cover each of its bytes exactly once.

A span is literal bytes (headers, padding, anything that is not tensor data) or one typed tensor. Literals
are kept as they are and tensors are chunked, so the spans in order give back the same file, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from deltackpt.errors import FormatError
from deltackpt.formats.wording import complaint, quoted
from deltackpt.tensor.dtype import DType


@dataclass(frozen=True, slots=True)
class Literal:
    """``length`` bytes at ``offset`` of the file that are not tensor data."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class TensorSpan:
    """One tensor's plain bytes: row-major, little-endian, ``length`` of them at ``offset`` of the file.

    ``name`` is a key, never a path. A tensor without elements has length 0 and still its place in the order.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    offset: int
    length: int


Span = Literal | TensorSpan


def check_tiling(spans: Iterable[Span], size: int, file: str) -> None:
    """``spans``, in order, cover the ``size`` bytes of ``file`` without gap or overlap.

    FormatError names the first span that does not stand where the one before it ends.
    """
    end, previous = 0, None
    for span in spans:
        if span.offset != end:
            fault = "overlaps" if span.offset < end else "leaves a hole after"
            what = f"{_title(span)} {fault} {_title(previous)}"
            raise FormatError(complaint(file, what, span.offset, f"offset {end}", str(span.offset)))
        end, previous = span.offset + span.length, span
    if end != size:
        what = "the data is cut off" if end > size else "trailing bytes"
        raise FormatError(complaint(file, what, min(end, size), f"a file of {end} bytes", str(size)))


def with_literals(tensors: Iterable[TensorSpan], size: int) -> tuple[Span, ...]:
    """``tensors``, which do not overlap, in the order of their bytes, and literals for the rest of ``size`` bytes."""
    spans: list[Span] = []
    end = 0
    for tensor in sorted(tensors, key=attrgetter("offset", "length")):
        if tensor.offset > end:
            spans.append(Literal(end, tensor.offset - end))
        spans.append(tensor)
        end = tensor.offset + tensor.length
    if size > end:
        spans.append(Literal(end, size - end))
    return tuple(spans)


def _title(span: Span | None) -> str:
    match span:
        case None:
            return "the start of the file"
        case TensorSpan(name=name):
            return f"tensor {quoted(name)}"
        case Literal(offset=0):
            return "the header"
        case _:
            return "a literal"
