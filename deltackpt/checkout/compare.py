"""A file or folder against the commit that it was committed as, without writing it out: every byte, or at a glance."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from deltackpt.checkout.files import StoredEntry, StoredFiles, link_target, stored_files
from deltackpt.checkout.ranges import read_range
from deltackpt.formats.source_file import SourceFile, open_source
from deltackpt.fs.file_set import FileSet, path_in
from deltackpt.fs.tree import open_tree, walk
from deltackpt.history.commits import Commit
from deltackpt.history.repository import Repository

_PIECE_BYTES = 8 << 20


_Judge = Callable[[StoredFiles, StoredEntry, str], bool]
"""Whether the file of an entry is at a path; kind, size and mode are as they should be."""


def differences(
    repository: Repository, commit: Commit, path: str | FileSet, progress: Callable[[int], None] | None = None
) -> Iterator[str]:
    """Relative paths of what is not as a checkout of ``commit`` would write it, missing or too many.

    The empty path is ``path`` itself.

    Everything is decoded and its hashes are checked. A commit that was made from a state differs from any file.
    ``progress`` hears of bytes as they are compared.
    """

    def has_bytes(files: StoredFiles, one: StoredEntry, where: str) -> bool:
        with open_source(where) as file:
            return file.size == files.size(one) and _has_bytes(repository, files, one, file, progress)

    return _differences(repository, commit, path, has_bytes)


def is_untouched(repository: Repository, commit: Commit, path: str | FileSet) -> bool:
    """Whether everything has the size, the mode and the time that it was committed with. No data is read."""

    def has_time(files: StoredFiles, one: StoredEntry, where: str) -> bool:
        status = os.lstat(where)
        return (status.st_size, status.st_mtime_ns) == (files.size(one), one.entry.mtime_ns)

    return next(_differences(repository, commit, path, has_time), None) is None


def _differences(repository: Repository, commit: Commit, path: str | FileSet, judge: _Judge) -> Iterator[str]:
    files = stored_files(repository, commit)
    if files is None:
        yield ""
        return
    members = path.members if isinstance(path, FileSet) else None
    for one in files.entries:
        if members is not None and not one.path:
            continue  # The folder of a file set is that of others too.
        if not _is_equal(files, one, path_in(path, one.path), judge):
            yield one.path
    where = path_in(path, "")
    if files.is_folder and os.path.isdir(where):
        with open_tree(where) as root:
            yield from {one.path for one in walk(root, where, members)} - {one.path for one in files.entries}


def _is_equal(files: StoredFiles, one: StoredEntry, path: str, judge: _Judge) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    if stat.S_ISLNK(status.st_mode):
        return one.entry.spans != () and os.readlink(path) == link_target(one)
    if stat.S_ISDIR(status.st_mode):
        return not one.entry.spans and stat.S_IMODE(status.st_mode) == one.entry.mode
    if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) != one.entry.mode:
        return False
    return judge(files, one, path)


def _has_bytes(
    repository: Repository,
    files: StoredFiles,
    one: StoredEntry,
    file: SourceFile,
    progress: Callable[[int], None] | None,
) -> bool:
    at = 0
    for piece in files.pieces(one):
        length = len(piece) if isinstance(piece, bytes) else piece.nbytes
        for start in range(0, length, _PIECE_BYTES):
            stop = min(start + _PIECE_BYTES, length)
            stored = piece[start:stop] if isinstance(piece, bytes) else read_range(repository, piece, start, stop)
            if file.read(at + start, stop - start) != stored:
                return False
            if progress is not None:
                progress(stop - start)
        at += length
    file.check_unchanged()
    return True
