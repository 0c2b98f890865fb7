"""The files that a commit was made from: which there are, and where their bytes are stored."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from deltackpt.errors import UnsafeError
from deltackpt.fs.beneath import is_plain_path, split
from deltackpt.fs.tree import outside
from deltackpt.history.commits import Commit
from deltackpt.history.manifest import StoredPart, StoredTensor
from deltackpt.history.objects import EntryKind, FileEntry, FilesSkeleton, ObjectCorruptError, decode
from deltackpt.history.repository import Repository
from deltackpt.tensor.dtype import BYTES

Piece: TypeAlias = bytes | StoredTensor
"""Some bytes of a file: as they are, or those of a tensor."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A file, folder or link of a commit, and the part in whose files skeleton it stands."""

    part: str
    entry: FileEntry

    @property
    def path(self) -> str:
        """Relative; empty for a file that was committed by itself, and for the folder itself."""
        return os.fsdecode(self.entry.path)

    @property
    def kind(self) -> EntryKind:
        return EntryKind(self.entry.kind)

    @property
    def needs(self) -> frozenset[str]:
        """The parts that hold bytes of it."""
        return frozenset({self.part, *(span[0] for span in self.entry.spans if isinstance(span, tuple))})


@dataclass(frozen=True, slots=True)
class TypedBytes:
    """How many of the ``total`` bytes of a commit's files are ``typed`` as those of tensors."""

    typed: int
    total: int

    @property
    def share(self) -> float:
        """1 for files without bytes: nothing of them is untyped."""
        return self.typed / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """The files of a commit in the order of their paths. ``name`` is what the file or folder was called."""

    name: str
    entries: tuple[StoredEntry, ...]
    parts: Mapping[str, StoredPart]

    @property
    def is_folder(self) -> bool:
        return any(entry.kind is EntryKind.FOLDER for entry in self.entries)

    def pieces(self, one: StoredEntry) -> Iterator[Piece]:
        """The bytes of a file in order. ObjectCorruptError when a span names what is not there."""
        for span in one.entry.spans:
            if isinstance(span, bytes):
                yield span
            else:
                part, index = (one.part, span) if isinstance(span, int) else span
                held = self.parts[part].tensors if part in self.parts else ()
                if not 0 <= index < len(held):
                    raise ObjectCorruptError(
                        f"{one.path!r} has a tensor that the table of part {part!r} lacks; run `deltackpt verify`"
                    )
                yield held[index]

    def size(self, one: StoredEntry) -> int:
        """Bytes of a file."""
        return sum(map(_length, self.pieces(one)))

    def typed_bytes(self) -> TypedBytes:
        """Of all files whose parts are there."""
        whole = [one for one in self.entries if one.kind is EntryKind.FILE and one.needs <= self.parts.keys()]
        pieces = [(_length(piece), _is_tensor(piece)) for one in whole for piece in self.pieces(one)]
        return TypedBytes(sum(length for length, typed in pieces if typed), sum(length for length, _ in pieces))


def _length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.nbytes


def _is_tensor(piece: Piece) -> bool:
    return not isinstance(piece, bytes) and piece.dtype is not BYTES


def stored_files(repository: Repository, commit: Commit) -> StoredFiles | None:
    """The files of ``commit``; None for one that was made from a live state.

    ObjectCorruptError or UnsafeError for what no folder can have been: its paths are written to, so none is trusted.
    """
    parts = {entry.name: repository.manifests.part(entry.id) for entry in commit.parts}
    found = {name: decode(part.files, FilesSkeleton) for name, part in parts.items() if part.files}
    if not found:
        return None
    entries = [StoredEntry(name, entry) for name, files in found.items() for entry in files.entries]
    entries.sort(key=lambda one: one.entry.path)
    _check(entries)
    root = found.get("")
    return StoredFiles(os.fsdecode(root.name) if root is not None else "", tuple(entries), parts)


def _check(entries: Sequence[StoredEntry]) -> None:
    folders: set[str] = set()
    seen: set[str] = set()
    for one in entries:
        path = one.path
        known = one.entry.kind in EntryKind.__members__.values()
        if not known or path in seen or (path and not is_plain_path(path)):
            raise ObjectCorruptError(f"a files skeleton names {path!r}, which it cannot; run `deltackpt verify`")
        if path and split(path)[0] not in folders:
            raise ObjectCorruptError(f"a files skeleton has {path!r} in no folder; run `deltackpt verify`")
        seen.add(path)
        if one.kind is EntryKind.FOLDER:
            folders.add(path)
    if seen and not folders and len(entries) > 1:
        raise ObjectCorruptError("a files skeleton has two files by themselves; run `deltackpt verify`")
    _check_links(entries)


def _check_links(entries: Sequence[StoredEntry]) -> None:
    links = {one.path: link_target(one) for one in entries if one.kind is EntryKind.LINK}
    for path, target in links.items():
        if not target or "\0" in target or outside(links, path):
            raise UnsafeError(f"a files skeleton has a link {path!r} to {target!r}, out of its folder")


def link_target(one: StoredEntry) -> str:
    """The text of a symbolic link."""
    return os.fsdecode(b"".join(span for span in one.entry.spans if isinstance(span, bytes)))
