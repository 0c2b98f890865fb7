"""The table of formats, and which of them a file is. Decided by content: a name proves nothing."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass

from deltackpt.errors import FormatError, UnsupportedError
from deltackpt.formats import archives, dcp, gguf, npy, onnx, safetensors
from deltackpt.formats.pytorch import legacy
from deltackpt.formats.reading import Reading, as_bytes
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import Span
from deltackpt.formats.wording import complaint, excerpt

HEAD_BYTES = 512
_WHITE_SPACE = frozenset("\t\n\r\f\ufeff")
KINDS = "safetensors, PyTorch, NumPy, GGUF or ONNX"

UNKNOWN = "bytes"
"""The format of a file that no reader knows."""


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file. ``recognises`` judges the first ``HEAD_BYTES``; ``read`` tiles it, or raises FormatError."""

    name: str
    recognises: Callable[[bytes], bool]
    read: Callable[[SourceFile], Reading]


FORMATS = (
    Format("safetensors", safetensors.recognises, lambda file: Reading("safetensors", safetensors.read_spans(file))),
    Format("zip", archives.recognises, archives.read),
    Format(legacy.NAME, legacy.recognises, legacy.read),
    Format("dcp metadata", dcp.recognises, lambda file: as_bytes(file, "dcp metadata")),
    Format("npy", npy.recognises, npy.read),
    Format("gguf", gguf.recognises, lambda file: Reading("gguf", gguf.read_spans(file))),
    Format("onnx", onnx.recognises, onnx.read),
)

# (offset, magic, what such a file is). Files that people do name where a checkpoint is meant.
_KNOWN_OTHERS = (
    (0, b"\x80\x02", "a pickle"),
    (0, b"\x80\x03", "a pickle"),
    (0, b"\x80\x04", "a pickle"),
    (0, b"\x80\x05", "a pickle"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x1f\x8b", "a gzip stream"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd stream"),
    (257, b"ustar", "a tar archive"),
    (0, b"{", "JSON text (perhaps the index of a sharded model)"),
)


def sniff(file: SourceFile) -> Format | None:
    """The format that recognises the file's first bytes, or None. A damaged file still counts as its format."""
    head = _head(file)
    return next((known for known in FORMATS if known.recognises(head)), None)


def read(file: SourceFile) -> Reading:
    """The file as its reader understands it; all of it as bytes, with a warning, when none does.

    What the file holds never makes this raise, so the caller chooses: refuse what has a warning, or keep it.
    """
    found = sniff(file)
    if found is None:
        return as_bytes(file, UNKNOWN, _not_known(file))
    try:
        return found.read(file)
    except FormatError as error:
        return as_bytes(file, found.name, error)


def read_spans(file: SourceFile) -> tuple[Span, ...]:
    """The file as spans, in offset order, each byte covered once; the warning of :func:`read` is raised.

    FormatError when the file is damaged or of no known kind; UnsupportedError when its kind has no reader yet.
    """
    reading = read(file)
    if reading.warning is not None:
        raise reading.warning
    return reading.spans


def is_text(file: SourceFile) -> bool:
    """Whether the file begins as text does, in UTF-8: a configuration, a log, a description. No tensors are in it."""
    head = _head(file)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) == file.size)
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in _WHITE_SPACE for c in text)


def _not_known(file: SourceFile) -> FormatError:
    head, expected = _head(file), f"one of {KINDS}"
    for offset, magic, what in _KNOWN_OTHERS:
        if head.startswith(magic, offset):
            return UnsupportedError(f"{file.name}: this is {what}, which is not supported yet; save it as safetensors")
    return FormatError(complaint(file.name, "unknown kind of file", 0, expected, excerpt(head, 0, "an empty file")))


def _head(file: SourceFile) -> bytes:
    return file.read(0, min(file.size, HEAD_BYTES))
