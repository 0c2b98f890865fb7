"""A zip archive whose entries are told apart for certain.

Two readers of one archive must not see two different files. So names are distinct, entries do not overlap, and the
header before an entry's data says the same as the directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from deltackpt.errors import FormatError
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint, quoted
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
    end, previous = directory.start, "the archive's start"
    for entry in entries:
        _follows(file, entry.header, end, f"entry {quoted(entry.name)}", previous)
        end, previous = entry.end, f"entry {quoted(entry.name)}"
    _follows(file, directory.offset, end, "the directory", previous)
    return Archive(directory.start, stop, tuple(entries))


def _follows(file: SourceFile, start: int, end: int, what: str, previous: str) -> None:
    if start < end:
        raise FormatError(complaint(file.name, f"{what} overlaps {previous}", start, f"offset {end}", str(start)))
