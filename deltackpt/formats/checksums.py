"""Checksums that a file gives for its own parts: whether its bytes are still those that were written."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from deltackpt.errors import FormatError
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint, quoted

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Checksum:
    """The CRC-32 that the file gives for ``length`` bytes at ``offset``, those of the entry ``name``."""

    name: str
    offset: int
    length: int
    crc: int


def first_mismatch(file: SourceFile, checksums: Iterable[Checksum]) -> FormatError | None:
    """The error for the first part whose bytes are not those that were written; None when all are.

    Reads every part once, a piece at a time. It is returned, not raised: such a file is damaged, and still has bytes to
    keep. (``torch.load`` does not look at checksums and loads it without a word.)
    """
    for checksum in checksums:
        if (found := _crc(file, checksum)) != checksum.crc:
            what = f"the bytes of {quoted(checksum.name)}"
            text = complaint(file.name, what, checksum.offset, f"CRC-32 {checksum.crc:08x}", f"{found:08x}")
            return FormatError(text)
    return None


def _crc(file: SourceFile, checksum: Checksum) -> int:
    crc, end = 0, checksum.offset + checksum.length
    for offset in range(checksum.offset, end, _PIECE):
        crc = zlib.crc32(file.read(offset, min(_PIECE, end - offset)), crc)
    return crc
