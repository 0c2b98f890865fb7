"""The table of formats, and which of them a file is. Decided by content: a name proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deltackpt.errors import FormatError, UnsupportedError
from deltackpt.formats import gguf, onnx, safetensors
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import Span
from deltackpt.formats.wording import complaint, excerpt

HEAD_BYTES = 512


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file. ``recognises`` judges the first ``HEAD_BYTES``; ``read_spans`` tiles the file or raises."""

    name: str
    recognises: Callable[[bytes], bool]
    read_spans: Callable[[SourceFile], tuple[Span, ...]]


FORMATS = (
    Format("safetensors", safetensors.recognises, safetensors.read_spans),
    Format("gguf", gguf.recognises, gguf.read_spans),
    Format("onnx", onnx.recognises, onnx.read_spans),
)

# (offset, magic, what such a file is). Files that people do name where a checkpoint is meant.
_KNOWN_OTHERS = (
    (0, b"PK\x03\x04", "a zip archive (a PyTorch .pt or an .npz)"),
    (0, b"\x80\x02", "a pickle"),
    (0, b"\x80\x03", "a pickle"),
    (0, b"\x80\x04", "a pickle"),
    (0, b"\x80\x05", "a pickle"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy .npy array"),
    (0, b"\x1f\x8b", "a gzip stream"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd stream"),
    (257, b"ustar", "a tar archive"),
    (0, b"{", "JSON text (perhaps the index of a sharded model)"),
)


def sniff(file: SourceFile) -> Format | None:
    """The format that recognises the file's first bytes, or None. A damaged file still counts as its format."""
    head = _head(file)
    return next((known for known in FORMATS if known.recognises(head)), None)


def read_spans(file: SourceFile) -> tuple[Span, ...]:
    """The file as spans, in offset order, each byte covered once.

    FormatError when it is damaged or of no known kind; UnsupportedError when its kind has no reader yet.
    """
    if found := sniff(file):
        return found.read_spans(file)
    head, expected = _head(file), " or ".join(known.name for known in FORMATS)
    for offset, magic, what in _KNOWN_OTHERS:
        if head.startswith(magic, offset):
            raise UnsupportedError(f"{file.name}: this is {what}, which is not supported yet; save it as {expected}")
    raise FormatError(complaint(file.name, "unknown kind of file", 0, expected, excerpt(head, 0, "an empty file")))


def _head(file: SourceFile) -> bytes:
    return file.read(0, min(file.size, HEAD_BYTES))
