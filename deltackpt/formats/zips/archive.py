"""A zip archive whose entries are told apart for certain.

Two readers of one archive must not see two different files. So names are distinct, entries do not overlap, and the
header before an entry's data says the same as the directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import NoReturn

from deltackpt.errors import FormatError
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint
from deltackpt.formats.zips.directory import Entry, read_entries
from deltackpt.formats.zips.end import find_directory


@dataclass(frozen=True, slots=True)
class Archive:
    """``start`` and ``stop`` are where it begins and ends in the file; ``entries`` are in the order of their bytes."""

    start: int
    stop: int
    entries: tuple[Entry, ...]


def read_archive(file: SourceFile, stop: int) -> Archive:
    """The archive that ends at byte ``stop``. Reads the directory and the local headers, nothing else.

    Raises FormatError, or LimitError, UnsafeError and UnsupportedError for what is sound but not for us.
    """
    directory = find_directory(file, stop)
    entries = sorted(read_entries(file, directory), key=attrgetter("header"))
    end, before = directory.start, None
    for entry in entries:
        if entry.header < end:
            _refuse_overlap(file, entry.title, entry.header, end, before)
        end, before = entry.end, entry
    if directory.offset < end:
        _refuse_overlap(file, "the directory", directory.offset, end, before)
    return Archive(directory.start, stop, tuple(entries))


def _refuse_overlap(file: SourceFile, what: str, start: int, end: int, before: Entry | None) -> NoReturn:
    previous = "the archive's start" if before is None else before.title
    raise FormatError(complaint(file.name, f"{what} overlaps {previous}", start, f"offset {end}", str(start)))
