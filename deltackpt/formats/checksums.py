"""Checksums that a file gives for its own parts: whether its bytes are still those that were written."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass

from deltackpt.errors import FormatError
from deltackpt.formats.buffered import BufferedFile
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint, quoted

_PIECE = 1 << 20
_LEAST_RUN = 4 << 20
_MOST_RUNS = 64


@dataclass(frozen=True, slots=True)
class Checksum:
    """The CRC-32 that the file gives for ``length`` bytes at ``offset``, those of the entry ``name``."""

    name: str
    offset: int
    length: int
    crc: int


def first_mismatch(
    file: SourceFile, checksums: Sequence[Checksum], executor: Executor | None = None
) -> FormatError | None:
    """The error for the first part whose bytes are not those that were written; None when all are.

    Reads every part once, a piece at a time, on the threads of ``executor`` if there is one; none reads any more when
    this returns. It is returned, not raised: such a file is damaged, and still has bytes to keep. (``torch.load`` does
    not look at checksums and loads it without a word.)
    """
    if executor is None:
        return _first_of(file, checksums)
    jobs = [executor.submit(_first_of, file, run) for run in _runs(checksums)]
    try:
        return next((found for job in jobs if (found := job.result()) is not None), None)
    finally:
        for job in jobs:
            job.cancel()
        wait(jobs)


def _runs(checksums: Sequence[Checksum]) -> Iterator[Sequence[Checksum]]:
    """The same in runs that are worth handing to another thread."""
    least = max(_LEAST_RUN, sum(checksum.length for checksum in checksums) // _MOST_RUNS)
    start = nbytes = 0
    for at, checksum in enumerate(checksums, 1):
        nbytes += checksum.length
        if nbytes >= least or at == len(checksums):
            yield checksums[start:at]
            start, nbytes = at, 0


def _first_of(file: SourceFile, checksums: Sequence[Checksum]) -> FormatError | None:
    near = BufferedFile.over(file)
    for checksum in checksums:
        if (found := _crc(near, checksum)) != checksum.crc:
            what = f"the bytes of {quoted(checksum.name)}"
            text = complaint(file.name, what, checksum.offset, f"CRC-32 {checksum.crc:08x}", f"{found:08x}")
            return FormatError(text)
    return None


def _crc(file: SourceFile, checksum: Checksum) -> int:
    crc, end = 0, checksum.offset + checksum.length
    for offset in range(checksum.offset, end, _PIECE):
        crc = zlib.crc32(file.read(offset, min(_PIECE, end - offset)), crc)
    return crc
