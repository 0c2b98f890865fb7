"""Files, folders and links around their tensors: the entries of files skeletons."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from deltackpt.content.assembly import Stated
from deltackpt.content.roles import ROOT
from deltackpt.fs.tree import Found, FoundFile, FoundFolder
from deltackpt.history.objects import EntryKind, FileEntry, FilesSkeleton


def entry_of_file(stated: Stated, mode: int, mtime_ns: int) -> FileEntry:
    """A file, once the rows of its tensors are numbered."""
    described = stated.file.described
    return FileEntry(
        os.fsencode(described.path),
        EntryKind.FILE,
        mode,
        mtime_ns,
        stated.file.spans(stated.part),
        described.reading.format,
        stated.notes,
        stated.key,
    )


def files_by_part(name: str, found: Iterable[Found], files: Mapping[str, Stated]) -> dict[str, FilesSkeleton]:
    """The files skeleton of each part of a folder called ``name``; folders and links stand in the root's."""
    entries: dict[str, list[FileEntry]] = {}
    for one in found:
        if isinstance(one, FoundFile):
            stated = files[one.path]
            entries.setdefault(stated.part, []).append(entry_of_file(stated, one.mode, one.mtime_ns))
        else:
            entries.setdefault(ROOT, []).append(_other(one))
    return {part: FilesSkeleton(os.fsencode(name) if part == ROOT else b"", tuple(e)) for part, e in entries.items()}


def _other(one: Found) -> FileEntry:
    path = os.fsencode(one.path)
    if isinstance(one, FoundFolder):
        return FileEntry(path, EntryKind.FOLDER, one.mode, one.mtime_ns)
    assert not isinstance(one, FoundFile)
    return FileEntry(path, EntryKind.LINK, 0, one.mtime_ns, (os.fsencode(one.target),))
