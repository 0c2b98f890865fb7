"""A checkpoint folder as content: every file, folder and link, and the tensors in all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace

from deltackpt.content.assembly import Assembly
from deltackpt.content.content import Content
from deltackpt.content.described import Compare, Described, comparing, described, warnings_of
from deltackpt.content.entries import files_by_part
from deltackpt.content.layout import homes
from deltackpt.errors import UnsafeError
from deltackpt.formats.folder import Folder
from deltackpt.formats.folder_reader import FolderReading, read_folder
from deltackpt.formats.onnx.folder import ONNX_DATA
from deltackpt.formats.reading import Unread
from deltackpt.formats.sniff import UNKNOWN, read
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan
from deltackpt.formats.wording import shown_path
from deltackpt.fs.file_set import FileSet
from deltackpt.fs.open_files import OpenFiles
from deltackpt.fs.tree import Found, FoundFile, FoundLink, changed, open_tree, outside, walk


def folder_content(
    path: str, *, strict: bool = False, executor: Executor | None = None
) -> AbstractContextManager[Content]:
    """A checkpoint folder; its files are opened as they are read, while the block runs.

    UnsafeError for a symbolic link that leads out of the folder. Damaged files as in :func:`file_content`.
    """
    return _content(path, os.path.basename(os.path.abspath(path)), None, strict=strict, executor=executor)


def file_set_content(
    files: FileSet, *, strict: bool = False, executor: Executor | None = None
) -> AbstractContextManager[Content]:
    """Some files of a folder, as the folder that they would be by themselves."""
    return _content(files.folder, files.name, files.members, strict=strict, executor=executor)


@contextmanager
def _content(
    path: str, name: str, members: frozenset[str] | None, *, strict: bool, executor: Executor | None
) -> Iterator[Content]:
    with ExitStack() as stack:
        root = stack.enter_context(open_tree(path))
        found = walk(root, path, members)
        tree = _Tree(path, root, stack.enter_context(OpenFiles(root, path, found)), found, members)
        tree.check_links()
        files = tree.read(comparing(stack, executor))
        assembly = Assembly()
        stated = {one.file.described.path: one for one in assembly.folder(files, homes(files))}
        skeletons = files_by_part(name, tree.found, stated)
        parts = tuple(assembly.part(name, skeletons.get(name)) for name in assembly.trees)
        warnings = warnings_of(files, strict=strict)
        yield Content(parts, warnings, tree.check_unchanged)


@dataclass(frozen=True, slots=True)
class _Tree:
    """The folder ``name``, open as ``root``, and what was found in it, or of its ``members``."""

    name: str
    root: int
    opened: OpenFiles
    found: tuple[Found, ...]
    members: frozenset[str] | None

    @property
    def links(self) -> dict[str, str]:
        """The text of each symbolic link by its path."""
        return {one.path: one.target for one in self.found if isinstance(one, FoundLink)}

    def check_links(self) -> None:
        links = self.links
        for path in links:
            if outside(links, path):
                shown = shown_path(os.path.join(self.name, path))
                raise UnsafeError(
                    f"{shown}: a symbolic link out of the folder, to {links[path]!r};"
                    " what it points to would not be committed; put the file itself there"
                )

    def read(self, compare: Compare) -> list[Described]:
        """Every file, read; their checksums are being compared."""
        files = [one for one in self.found if isinstance(one, FoundFile)]
        sources = {file.path: self._source(file) for file in files}
        sizes = {file.path: file.size for file in files}
        reading = read_folder(Folder(sizes, lambda path: nullcontext(sources[path]), self.links))
        return [_described(path, source, reading, compare) for path, source in sources.items()]

    def _source(self, file: FoundFile) -> SourceFile:
        shown = shown_path(os.path.join(self.name, file.path))
        return SourceFile(lambda: self.opened.lend(file.path), file.size, file.mtime_ns, file.mode, shown)

    def check_unchanged(self) -> None:
        """ChangedError when the tree is not as it was found: files were written to, came or went."""
        before = {one.path: one for one in self.found}
        now = {one.path: one for one in walk(self.root, self.name, self.members)}
        if self.members is not None:
            # The folder itself tells of the coming and going of others.
            now[""] = before[""]
        for path in sorted(before.keys() | now.keys()):
            if before.get(path) != now.get(path):
                raise changed(os.path.join(self.name, path))


def _described(path: str, file: SourceFile, folder: FolderReading, compare: Compare) -> Described:
    """The file as the description of another file, or a reader, understands it."""
    own = folder.files.get(path)
    if own is None or own.format != "distcp":
        sniffed = read(file)
        own = sniffed if own is None or (sniffed.format != UNKNOWN and sniffed.warning is None) else own
    own = replace(own, unread=tuple(_not_elsewhere(own.unread, folder)))
    return described(path, file, own, folder, path, compare)


def _not_elsewhere(unread: Sequence[Unread], folder: FolderReading) -> Iterator[Unread]:
    """What of a model's tensors is not typed in a file of data beside it, either."""
    if unread:
        beside = [span for one in folder.files.values() if one.format == ONNX_DATA.name for span in one.spans]
        found = {span.name for span in beside if isinstance(span, TensorSpan)}
        yield from (one for one in unread if one.name not in found)
