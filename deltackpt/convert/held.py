"""The files that tensors come from: what of them cannot be converted."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial

from deltackpt.checkout.files import Piece, StoredEntry, StoredFiles, stored_files
from deltackpt.checkout.ranges import read_range
from deltackpt.convert.flat import Missing
from deltackpt.formats.source_file import SourceFile, open_source
from deltackpt.formats.wording import shown_path
from deltackpt.history.commits import Commit
from deltackpt.history.objects import EntryKind, FileEntry, FilesSkeleton, decode
from deltackpt.history.repository import Repository
from deltackpt.skeleton.nodes import Reference
from deltackpt.tensor.dtype import BYTES


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file of what is converted, and the part in whose files skeleton it stands.

    ``open`` gives its bytes; those of tensors may be missing there, with zeros in their place. ``is_whole`` says that
    no part which holds bytes of it has been thinned away.
    """

    part: str
    entry: FileEntry
    open: Callable[[], AbstractContextManager[SourceFile]] = field(compare=False)
    is_whole: bool = True

    @property
    def path(self) -> str:
        """Relative; empty for a file by itself."""
        return os.fsdecode(self.entry.path)

    @property
    def is_sound(self) -> bool:
        """Whether all of it is there and was understood."""
        return self.is_whole and not any(isinstance(note, str) for note in self.entry.notes)

    @property
    def tensors(self) -> Iterator[Reference]:
        """Where in the tables its tensors, and its long literals, are."""
        for span in self.entry.spans:
            if isinstance(span, int):
                yield Reference(self.part, span)
            elif not isinstance(span, bytes):
                yield Reference(*span)


def held_on_disk(path: str, skeletons: Iterable[tuple[str, bytes]]) -> list[HeldFile]:
    """Those of the file or folder ``path``, by the files skeletons of its parts."""
    found = []
    for part, raw in skeletons:
        for entry in decode(raw, FilesSkeleton).entries if raw else ():
            own = os.fsdecode(entry.path)
            found.append(HeldFile(part, entry, partial(open_source, os.path.join(path, own) if own else path)))
    return [one for one in found if one.entry.kind == EntryKind.FILE]


def held_in_commit(repository: Repository, commit: Commit) -> list[HeldFile]:
    """Those of a commit; none when it was made from a live state."""
    files = stored_files(repository, commit)
    entries = [] if files is None else [one for one in files.entries if one.kind is EntryKind.FILE]
    return [
        HeldFile(one.part, one.entry, partial(_opened, repository, files, one), one.needs <= files.parts.keys())
        for one in entries
        if files
    ]


@contextmanager
def _opened(repository: Repository, files: StoredFiles, one: StoredEntry) -> Iterator[SourceFile]:
    """A copy in which tensors are holes, which take no room."""
    with tempfile.TemporaryFile() as copy:
        for piece in files.pieces(one):
            if isinstance(piece, bytes) or piece.dtype is BYTES:
                copy.write(plain_of(repository, piece))
            else:
                copy.seek(piece.nbytes, os.SEEK_CUR)
        copy.truncate()
        copy.flush()
        yield SourceFile.of(copy.fileno(), one.path or files.name)


def stored_pieces(repository: Repository, files: StoredFiles, one: StoredEntry) -> Iterator[bytes | memoryview]:
    """The bytes of a stored file, in order."""
    for piece in files.pieces(one):
        yield plain_of(repository, piece)


def plain_of(repository: Repository, piece: Piece) -> bytes | memoryview:
    """All bytes of a piece of a stored file."""
    return piece if isinstance(piece, bytes) else read_range(repository, piece, 0, piece.nbytes)


def missing_in(files: Sequence[HeldFile], name: str, part: str | None) -> Iterator[Missing]:
    """What the notes of ``files`` say about all of them, or about one ``part``, under names without it.

    ``name`` is what the file is called that has no path.
    """
    for file in files:
        shown = shown_path(file.path or name)
        for note in file.entry.notes:
            if not isinstance(note, str):
                full, what = note
                if (below := within(full, part)) is not None:
                    yield Missing(below, shown, what)
            elif part in (None, file.part):
                yield Missing("", shown, note)


def within(name: str, part: str | None) -> str | None:
    """A complete name without the ``part`` that it lies in; None when that is another."""
    if part is None:
        return name
    return name.removeprefix(part).removeprefix("/") if f"{name}/".startswith(f"{part}/") else None
