"""A file whose bytes have their places: short literals as they are, the rest as rows of tensor tables."""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.content.described import Described
from deltackpt.content.layout import Home
from deltackpt.content.pickled import RowsOfFile
from deltackpt.content.table import Row, Tables
from deltackpt.formats.file_tensor import FileTensor
from deltackpt.formats.spans import Literal, TensorSpan
from deltackpt.history.objects import Span as EntrySpan
from deltackpt.skeleton.names import joined
from deltackpt.tensor.dtype import BYTES

SHORT_LITERAL_BYTES = 1 << 10
"""A longer literal is a row: stored once as long as it stays the same, whatever else of the file changes."""

_MAX_LITERAL_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Shelved:
    """``contents`` are the file's bytes in order; ``rows`` its tensors."""

    described: Described
    contents: tuple[bytes | Row, ...]
    rows: RowsOfFile

    def spans(self, part: str) -> tuple[EntrySpan, ...]:
        """The contents as an entry of ``part`` has them, once rows are numbered."""
        return tuple(_span(piece, part) for piece in self.contents)

    @property
    def by_name(self) -> list[tuple[str, Row]]:
        """Rows by their names in the file."""
        return [(span.name, row) for span, row in zip(self.rows.spans, self.rows.rows, strict=True)]


def _span(piece: bytes | Row, part: str) -> EntrySpan:
    if isinstance(piece, bytes):
        return piece
    return piece.index if piece.part == part else (piece.part, piece.index)


def shelve(file: Described, tables: Tables, home: Home) -> Shelved:
    """Make a row of each tensor and each long literal of a file."""
    contents: list[bytes | Row] = []
    spans: list[TensorSpan] = []
    rows: list[Row] = []
    literals = _Literals(file)
    for span in file.reading.spans:
        if isinstance(span, TensorSpan):
            row = tables.add(*home.place(span.name), FileTensor(file.file, span))
            contents.append(row)
            spans.append(span)
            rows.append(row)
        elif (short := literals.short(span)) is not None:
            contents.append(short)
        else:
            literal = literals.tensor(span)
            row = tables.add(home.part, joined(home.literals, literal.name), FileTensor(file.file, literal))
            contents.append(row)
    return Shelved(file, tuple(contents), RowsOfFile(spans, rows))


class _Literals:
    """The literals of one file; those kept as they are have a limit in all."""

    def __init__(self, file: Described) -> None:
        self._file = file
        self._left = _MAX_LITERAL_BYTES
        self._long = 0

    def short(self, span: Literal) -> bytes | None:
        """The bytes of a short literal, or None when it is to be a row."""
        if span.length > min(SHORT_LITERAL_BYTES, self._left):
            return None
        self._left -= span.length
        return self._file.file.read(span.offset, span.length)

    def tensor(self, span: Literal) -> TensorSpan:
        self._long += 1
        return TensorSpan(f"(bytes {self._long - 1})", BYTES, (span.length,), span.offset, span.length)
