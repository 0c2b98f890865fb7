"""From the tensors of a file to its spans: what lies between them is literal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deltackpt.formats.spans import Literal, Span, check_tiling


def filled(spans: Iterable[Span], size: int, file: str) -> tuple[Span, ...]:
    """``spans``, in the order of their bytes, with a literal in each hole; they cover the ``size`` bytes of ``file``.

    FormatError when two of them overlap or one reaches past the end.
    """
    found = tuple(_with_literals(spans, size))
    check_tiling(found, size, file)
    return found


def _with_literals(spans: Iterable[Span], size: int) -> Iterator[Span]:
    end = 0
    for span in spans:
        if end < span.offset <= size:
            yield Literal(end, span.offset - end)
        yield span
        end = max(end, span.offset + span.length)
    if end < size:
        yield Literal(end, size - end)
