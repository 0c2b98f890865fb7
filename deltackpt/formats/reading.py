"""What a reader made of a file. A file that nobody understands is still bytes, and can be kept as such."""

from __future__ import annotations

from dataclasses import dataclass

from deltackpt.errors import FormatError
from deltackpt.formats.checksums import Checksum
from deltackpt.formats.pickles.state import State
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import Literal, Span


@dataclass(frozen=True, slots=True)
class Unread:
    """What stands under ``name`` in a file and is no typed tensor and no plain value; ``what`` says what it is.

    Its bytes are kept with the file. The empty name is that of the file's whole state.
    """

    name: str
    what: str


@dataclass(frozen=True, slots=True)
class Reading:
    """``spans`` tile the file, whatever happened; so the file can always be kept, byte for byte.

    ``warning`` is what kept a reader from understanding all of it: an error that was not raised, because the caller
    decides whether such a file is refused (raise it) or kept (show its text). ``state`` is the nested state for formats
    that have one, ``checksums`` those that the file gives and that nobody has compared yet;
    ``unread`` is what a sound file holds beside them.
    """

    format: str
    spans: tuple[Span, ...]
    warning: FormatError | None = None
    state: State | None = None
    checksums: tuple[Checksum, ...] = ()
    unread: tuple[Unread, ...] = ()


def as_bytes(file: SourceFile, format: str, warning: FormatError | None = None) -> Reading:
    """The file as one literal."""
    spans = (Literal(0, file.size),) if file.size else ()
    # A stored error would keep the frames that it passed, and all that they hold.
    return Reading(format, spans, None if warning is None else warning.with_traceback(None))
