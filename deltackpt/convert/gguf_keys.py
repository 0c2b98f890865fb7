"""The keys of the GGUF files that tensors come from, for the GGUF file that they go into."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator

from deltackpt.checkout.files import StoredEntry, StoredFiles, stored_files
from deltackpt.convert.held import plain_of
from deltackpt.errors import InvalidInputError
from deltackpt.formats.gguf.values import Keys, Value, read_keys
from deltackpt.formats.source_file import SourceFile, open_source
from deltackpt.formats.wording import quoted
from deltackpt.history.commits import Commit
from deltackpt.history.objects import FileEntry
from deltackpt.history.repository import Repository
from deltackpt.tensor.dtype import BYTES

_FORMAT = "gguf"
_OF_ONE_SHARD = "split."


def keys_in_commit(repository: Repository, commit: Commit, part: str | None) -> Keys:
    """Those of all GGUF files of a commit, or of one ``part``; InvalidInputError when two files differ in one."""
    files = stored_files(repository, commit)
    if files is None:
        return {}
    found = [one for one in files.entries if _is_read(one.entry) and part in (None, one.part)]
    return _together(_stored_keys(repository, files, one) for one in found)


def keys_on_disk(path: str, entries: Iterable[FileEntry]) -> Keys:
    """The same for the ``entries`` of the file or folder ``path``."""
    found = [os.fsdecode(one.path) for one in entries if _is_read(one)]
    return _together(_keys_of_file(os.path.join(path, name) if name else path) for name in found)


def _is_read(entry: FileEntry) -> bool:
    """Whether it is a GGUF file, and not a damaged one."""
    return entry.format == _FORMAT and not entry.notes


def _keys_of_file(path: str) -> Keys:
    with open_source(path) as file:
        return read_keys(file)


def _stored_keys(repository: Repository, files: StoredFiles, one: StoredEntry) -> Keys:
    """The keys of a stored file, of which only what comes before the tensors is read."""
    with tempfile.TemporaryFile() as head:
        for piece in files.pieces(one):
            if not isinstance(piece, bytes) and piece.dtype is not BYTES:
                break
            head.write(plain_of(repository, piece))
        head.flush()
        return read_keys(SourceFile.of(head.fileno(), one.path or files.name))


def _together(files: Iterable[Keys]) -> Keys:
    """The keys of several files, such as the shards of one model, without those that tell the shards apart."""
    found: dict[str, Value] = {}
    for key, value in _pairs(files):
        if found.setdefault(key, value) != value:
            raise InvalidInputError(
                f"the tensors come from GGUF files that differ in key {quoted(key)}; convert one file by itself"
            )
    return found


def _pairs(files: Iterable[Keys]) -> Iterator[tuple[str, Value]]:
    for keys in files:
        yield from ((key, value) for key, value in keys.items() if not key.startswith(_OF_ONE_SHARD))
