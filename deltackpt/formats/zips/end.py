"""The end of an archive: where its directory stands, and where the archive itself begins.

Offsets in an archive count from its own start, and several may stand in one file, one behind the other. So the
directory is found from the end: it stops where the end records begin, its length is known, and the difference between
where it stands and where it says it stands is the archive's start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint
from deltackpt.formats.zips.headers import (
    CENTRAL,
    END,
    END64,
    END64_MAGIC,
    END_MAGIC,
    IN_ZIP64,
    IN_ZIP64_16,
    LOCATOR64,
    LOCATOR64_MAGIC,
)
from deltackpt.formats.zips.limits import MAX_COMMENT_BYTES, MAX_DIRECTORY_BYTES, MAX_ENTRIES


@dataclass(frozen=True, slots=True)
class Directory:
    """``length`` bytes at ``offset`` of the file describe ``count`` entries of the archive that begins at ``start``."""

    start: int
    offset: int
    length: int
    count: int


def ends_archive(file: SourceFile, stop: int) -> bool:
    """Whether the end record of an archive without a comment stands directly before byte ``stop``."""
    if stop < END.size:
        return False
    raw = file.read(stop - END.size, END.size)
    return raw.startswith(END_MAGIC) and raw.endswith(b"\0\0")


def find_directory(file: SourceFile, stop: int) -> Directory:
    """The directory of the archive that ends at byte ``stop``; FormatError or LimitError."""
    end = _find_end(file, stop)
    fields = END.unpack(file.read(end, END.size))
    disk, directory_disk, here, count, length, declared = fields[1:7]
    wide = _wide_end(file, end)
    if disk or directory_disk or here != count:
        _refuse(file, "the end record", end, "an archive in one piece", "several disks")
    if wide is not None:
        narrow = (count, length, declared)
        for found, limit, truth in zip(narrow, (IN_ZIP64_16, IN_ZIP64, IN_ZIP64), wide.numbers, strict=True):
            if found not in (limit, truth):
                _refuse(file, "the end record", end, f"{truth}, as the zip64 record has it", str(found))
        count, length, declared = wide.numbers
    return _checked(file, wide.offset if wide is not None else end, count, length, declared)


@dataclass(frozen=True, slots=True)
class _WideEnd:
    offset: int
    numbers: tuple[int, int, int]


def _find_end(file: SourceFile, stop: int) -> int:
    """Where the end record begins: the last one whose comment reaches exactly to ``stop``."""
    if ends_archive(file, stop):
        return stop - END.size
    start = max(0, stop - END.size - MAX_COMMENT_BYTES)
    tail = file.read(start, stop - start)
    at = len(tail) - END.size + 1
    while (at := tail.rfind(END_MAGIC, 0, at + 3)) >= 0:
        if at + END.size + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
            break
    if at < 0:
        _refuse(file, "a zip archive", stop, "the record that ends it", "none")
    return start + at


def _wide_end(file: SourceFile, end: int) -> _WideEnd | None:
    """The zip64 record that belongs to the end record at ``end``; None when there is none."""
    locator = end - LOCATOR64.size
    if locator < 0:
        return None
    magic, _, _, disks = LOCATOR64.unpack(file.read(locator, LOCATOR64.size))
    if magic != LOCATOR64_MAGIC:
        return None
    # Its own offset counts from the archive's start, which is not known yet; every writer puts it directly before.
    offset = locator - END64.size
    fields = END64.unpack(file.read(offset, END64.size)) if offset >= 0 else (b"",)
    if fields[0] != END64_MAGIC or fields[1] != END64.size - 12:
        _refuse(file, "the zip64 locator", locator, f"a zip64 record of {END64.size} bytes before it", "none")
    if disks > 1 or fields[4] or fields[5] or fields[6] != fields[7]:
        _refuse(file, "the zip64 record", offset, "an archive in one piece", "several disks")
    return _WideEnd(offset, fields[7:10])


def _checked(file: SourceFile, end: int, count: int, length: int, declared: int) -> Directory:
    if count > MAX_ENTRIES:
        _refuse(file, "the directory", end, f"at most {MAX_ENTRIES} entries", str(count), LimitError)
    if length > MAX_DIRECTORY_BYTES:
        _refuse(file, "the directory", end, f"at most {MAX_DIRECTORY_BYTES} bytes", str(length), LimitError)
    offset = end - length
    if offset < 0 or count * CENTRAL.size > length:
        _refuse(file, "the directory", end, f"{count} entries in the {end} bytes before it", f"{length} bytes")
    start = offset - declared
    if start < 0:
        _refuse(file, "the directory", end, f"an offset of at most {offset}", str(declared))
    return Directory(start, offset, length, count)


def _refuse(
    file: SourceFile, what: str, at: int, expected: str, found: str, kind: type[FormatError] = FormatError
) -> NoReturn:
    raise kind(complaint(file.name, what, at, expected, found))
