"""A file that was read: what it is, and what of it was not understood."""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.errors import FormatError
from deltackpt.formats.checksums import first_mismatch
from deltackpt.formats.reading import Reading
from deltackpt.formats.sniff import UNKNOWN
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan


@dataclass(frozen=True, slots=True)
class Described:
    """The file at ``path`` of what is being committed (empty for a file by itself), and what a reader made of it."""

    path: str
    file: SourceFile
    reading: Reading
    warning: FormatError | None

    @property
    def tensors(self) -> tuple[TensorSpan, ...]:
        return tuple(span for span in self.reading.spans if isinstance(span, TensorSpan))


def described(path: str, file: SourceFile, reading: Reading, *, strict: bool) -> Described:
    """A file with its checksums compared. What is wrong with it is raised when ``strict``, else kept as the warning.

    That a file of a folder is of no known kind is nothing wrong: most are texts.
    """
    warning = reading.warning or first_mismatch(file, reading.checksums)
    if path and reading.format == UNKNOWN:
        warning = None
    if warning is not None and strict:
        raise warning
    return Described(path, file, reading, warning)
