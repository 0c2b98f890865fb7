"""Checksums that a file gives for its own parts: whether its bytes are still those that were written."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Self

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


class Comparison:
    """The checksums of one file, compared on the threads of ``executor`` while the caller goes on.

    Without an executor they are compared when somebody asks. A context manager: once it is left, nothing of the file is
    read any more.
    """

    def __init__(self, file: SourceFile, checksums: Sequence[Checksum], executor: Executor | None) -> None:
        self._file = file
        self._checksums = checksums
        self._executor = executor
        self._jobs: list[Future[FormatError | None]] = []

    def __enter__(self) -> Self:
        if self._executor is not None:
            self._jobs = [self._executor.submit(first_mismatch, self._file, run) for run in _runs(self._checksums)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for job in self._jobs:
            job.cancel()
        wait(self._jobs)

    @cached_property
    def mismatch(self) -> FormatError | None:
        """As of :func:`first_mismatch`; waits for it."""
        if self._executor is None:
            return first_mismatch(self._file, self._checksums)
        return next((found for job in self._jobs if (found := job.result()) is not None), None)


def first_mismatch(file: SourceFile, checksums: Iterable[Checksum]) -> FormatError | None:
    """The error for the first part whose bytes are not those that were written; None when all are.

    Reads every part once, a piece at a time. It is returned, not raised: such a file is damaged, and still has bytes to
    keep. (``torch.load`` does not look at checksums and loads it without a word.)
    """
    near = BufferedFile.over(file)
    for checksum in checksums:
        if (found := _crc(near, checksum)) != checksum.crc:
            what = f"the bytes of {quoted(checksum.name)}"
            text = complaint(file.name, what, checksum.offset, f"CRC-32 {checksum.crc:08x}", f"{found:08x}")
            return FormatError(text)
    return None


def _runs(checksums: Sequence[Checksum]) -> Iterator[Sequence[Checksum]]:
    """The same in runs that are worth handing to another thread."""
    least = max(_LEAST_RUN, sum(checksum.length for checksum in checksums) // _MOST_RUNS)
    start = nbytes = 0
    for at, checksum in enumerate(checksums, 1):
        nbytes += checksum.length
        if nbytes >= least or at == len(checksums):
            yield checksums[start:at]
            start, nbytes = at, 0


def _crc(file: SourceFile, checksum: Checksum) -> int:
    crc, end = 0, checksum.offset + checksum.length
    for offset in range(checksum.offset, end, _PIECE):
        crc = zlib.crc32(file.read(offset, min(_PIECE, end - offset)), crc)
    return crc
