"""What ``numpy.savez`` writes: a zip archive of ``.npy`` files. What ``savez_compressed`` packs stays packed bytes."""

from __future__ import annotations

from deltackpt.errors import FormatError
from deltackpt.formats.checksums import Checksum
from deltackpt.formats.npy.array import array_span
from deltackpt.formats.reading import Reading, Unread
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan, with_literals
from deltackpt.formats.zips import Archive

SUFFIX = ".npy"


def is_npz(archive: Archive) -> bool:
    """Whether every entry is an array by its name, and there is one."""
    return bool(archive.entries) and all(entry.name.endswith(SUFFIX) for entry in archive.entries)


def read_npz(file: SourceFile, archive: Archive) -> Reading:
    """The file as spans; an array that is damaged stays bytes, and the first such is the warning."""
    tensors: list[TensorSpan] = []
    warning = None
    stored = [entry for entry in archive.entries if entry.is_stored]
    packed = (entry.name.removesuffix(SUFFIX) for entry in archive.entries if not entry.is_stored)
    unread = [Unread(name, "a compressed array") for name in packed]
    for entry in stored:
        try:
            span, told = array_span(file, entry.offset, entry.length, entry.name.removesuffix(SUFFIX))
        except FormatError as error:
            warning = warning or error.with_traceback(None)
            continue
        if span is not None:
            tensors.append(span)
        if told is not None:
            unread.append(told)
    checksums = tuple(Checksum(e.name, e.offset, e.length, e.crc) for e in stored)
    return Reading("npz", with_literals(tensors, file.size), warning, None, checksums, tuple(unread))
