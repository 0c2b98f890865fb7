"""A zip archive by what is in it: a file of PyTorch or NumPy, or several archives in one file."""

from __future__ import annotations

from deltackpt.errors import UnsupportedError
from deltackpt.formats.dcp import read_shard
from deltackpt.formats.npy import is_npz, read_npz
from deltackpt.formats.pytorch import Entries, read_saved_file
from deltackpt.formats.reading import Reading
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint, quoted
from deltackpt.formats.zips import read_archive
from deltackpt.formats.zips.headers import LOCAL_MAGIC


def recognises(head: bytes) -> bool:
    return head.startswith(LOCAL_MAGIC)


def read(file: SourceFile) -> Reading:
    """The file as spans; FormatError when it is no sound archive, UnsupportedError when it is of no known kind."""
    archive = read_archive(file, file.size)
    if archive.start > 0:
        return read_shard(file)
    entries = Entries.of(archive)
    if entries is not None:
        return read_saved_file(file, entries)
    if is_npz(archive):
        return read_npz(file, archive)
    first = quoted(archive.entries[0].name) if archive.entries else "an empty archive"
    raise UnsupportedError(complaint(file.name, "a zip archive", 0, "one of PyTorch or NumPy", first))
