"""A commit as a tree of files that are read on demand: nothing is written out, and only what is asked for is decoded.

1. The files, folders and links that were committed stand where they stood; a file committed by itself, under its name.
2. A commit made from a state has ``PART.safetensors`` for each part that has tensors, as a checkout writes it, and
   ``state.safetensors`` for what stands at the top level itself.
3. ``.tensors/NAME.safetensors`` is one tensor of any commit, under its full name.
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

from deltackpt.checkout.export import PlannedFile, planned_file, planned_tensor
from deltackpt.checkout.files import StoredEntry, StoredFiles, link_target, stored_files
from deltackpt.checkout.image import Image, Piece, Window
from deltackpt.checkout.leaves import NamedTensor, named_tensors, part_leaves
from deltackpt.errors import NotFoundError
from deltackpt.fs.beneath import is_plain_path, split
from deltackpt.history.commits import Commit
from deltackpt.history.objects import EntryKind
from deltackpt.history.repository import Repository

TENSORS = ".tensors"
_SUFFIX = ".safetensors"
_TOP_LEVEL = "state"


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at ``path``: a file with a way to its bytes, or a folder. A link is what it leads to."""

    path: str
    kind: Literal["file", "directory"]
    mtime_ns: int
    open: Callable[[], Image] | None = None


class CommitTree:
    """The tree of one commit. Paths are relative and separated by ``/``; the empty one is the root."""

    def __init__(self, repository: Repository, commit: Commit) -> None:
        self._repository = repository
        self.commit = commit

    def entry(self, path: str) -> Entry:
        """What stands at ``path``; NotFoundError when nothing does."""
        found = self._entries(path).get(path)
        if found is None:
            thinned = f"; it was thinned of {', '.join(part.name for part in self.commit.thinned)}"
            raise NotFoundError(
                f"commit {self.commit.description} has no file {path!r}{thinned if self.commit.thinned else ''}"
            )
        return found

    def children(self, path: str) -> list[Entry]:
        """What stands in the folder ``path``, by name; NotFoundError when there is no folder."""
        if self.entry(path).kind != "directory":
            raise NotFoundError(f"commit {self.commit.description} has a file at {path!r}, and no folder")
        return [one for name, one in sorted(self._entries(path).items()) if name and split(name)[0] == path]

    def image(self, path: str) -> Image:
        """The bytes of the file at ``path``; NotFoundError when there is none, ThinnedError when some were deleted."""
        found = self.entry(path)
        if found.open is None:
            raise NotFoundError(f"commit {self.commit.description} has a folder at {path!r}, and no file")
        return found.open()

    def _entries(self, path: str) -> Mapping[str, Entry]:
        if path.split("/")[0] == TENSORS and self._files.get(TENSORS) is self._tensors_root:
            return self._tensors
        return self._files

    @cached_property
    def _tensors_root(self) -> Entry:
        return self._folder(TENSORS)

    @cached_property
    def _files(self) -> dict[str, Entry]:
        files = stored_files(self._repository, self.commit)
        found = self._of_state() if files is None else self._of_files(files)
        return {"": self._folder(""), TENSORS: self._tensors_root} | {one.path: one for one in found}

    def _of_files(self, files: StoredFiles) -> Iterator[Entry]:
        for path, one in _spread({one.path: one for one in files.entries}):
            if one.kind is EntryKind.FILE:
                yield Entry(path or files.name, "file", one.entry.mtime_ns, self._opener(files, one))
            else:
                yield Entry(path, "directory", one.entry.mtime_ns)

    def _opener(self, files: StoredFiles, one: StoredEntry) -> Callable[[], Image]:
        def opened() -> Image:
            for part in one.needs:
                self.commit.part_named(part)
            return Image(self._repository, files.pieces(one))

        return opened

    def _of_state(self) -> Iterator[Entry]:
        for part in self.commit.parts:
            leaves = part_leaves(self._repository, self.commit, part.name)
            if any(not tensor.leaf.is_value for tensor in leaves.tensors):
                yield self._file(
                    f"{part.name or _TOP_LEVEL}{_SUFFIX}",
                    partial(planned_file, self._repository, self.commit, part.name),
                )

    @cached_property
    def _tensors(self) -> dict[str, Entry]:
        found = {TENSORS: self._tensors_root}
        for tensor in named_tensors(self._repository, self.commit):
            path = f"{TENSORS}/{_plain(tensor.name)}{_SUFFIX}"
            found[path] = self._file(path, partial(planned_tensor, self.commit, tensor))
            while (path := split(path)[0]) not in found:
                found[path] = self._folder(path)
        return found

    def _file(self, path: str, planned: Callable[[], PlannedFile]) -> Entry:
        return Entry(path, "file", self._mtime_ns, lambda: Image(self._repository, _pieces(planned())))

    def _folder(self, path: str) -> Entry:
        return Entry(path, "directory", self._mtime_ns)

    @property
    def _mtime_ns(self) -> int:
        return int(self.commit.time.timestamp() * 1e9)


def _pieces(plan: PlannedFile) -> Iterator[Piece]:
    yield plan.header
    for _, tensor in plan.tensors:
        yield _piece(tensor)


def _piece(tensor: NamedTensor) -> Piece:
    return tensor.stored if tensor.leaf.view is None else Window(tensor.stored, tensor.leaf.view)


def _plain(name: str) -> str:
    """A tensor's name as a path; percent-encoded as a whole where it is none."""
    return name if is_plain_path(name) else urllib.parse.quote(name, safe="").replace(".", "%2E")


def _spread(entries: Mapping[str, StoredEntry]) -> Iterator[tuple[str, StoredEntry]]:
    """Files and folders by every path that leads to one; what a link to a folder holds stands below the link, too."""
    for path, found in entries.items():
        one = _followed(entries, path)
        if one is None:
            continue
        yield path, one
        if found.kind is EntryKind.LINK and one.kind is EntryKind.FOLDER:
            for inner in [inner for inner in entries if inner.startswith(f"{one.path}/")]:
                below = _followed(entries, inner)
                if below is not None:
                    yield path + inner.removeprefix(one.path), below


def _followed(entries: Mapping[str, StoredEntry], path: str) -> StoredEntry | None:
    """The file or folder at the end of a chain of links; None when it leads nowhere."""
    for _ in range(len(entries)):
        one = entries.get(path)
        if one is None or one.kind is not EntryKind.LINK:
            return one
        path = os.path.normpath(os.path.join(os.path.dirname(path), link_target(one)))
    return None
