"""A ``.distcp`` file: what ``torch.save`` wrote for each item, one archive behind the other.

The folder's metadata tells where each begins and what it is called. Without it the archives are found from the end of
the file, each from where the next one begins, and are numbered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deltackpt.errors import FormatError, LimitError, UnsupportedError
from deltackpt.formats.buffered import BufferedFile
from deltackpt.formats.checksums import Checksum
from deltackpt.formats.dcp.metadata import Item
from deltackpt.formats.pickles.paths import Step
from deltackpt.formats.pytorch import Entries, Namer, Pickles, read_saved
from deltackpt.formats.reading import Reading, Unread
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan, with_literals
from deltackpt.formats.wording import complaint, quoted
from deltackpt.formats.zips import Archive, ends_archive, read_archive

MAX_ARCHIVES = 1 << 16

NAME = "distcp"


@dataclass(frozen=True, slots=True)
class _Named:
    """An archive and what its object is called."""

    archive: Archive
    name: str


class _Collected:
    """What the archives of one file gave, and the first thing that did not fit."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._namer = Namer()
        self._pickles = Pickles(file)
        self._tensors: list[TensorSpan] = []
        self._checksums: list[Checksum] = []
        self._unread: list[Unread] = []
        self.warning: FormatError | None = None

    def warn(self, error: FormatError) -> None:
        self.warning = self.warning or error.with_traceback(None)

    def add(self, found: _Named) -> None:
        entries = Entries.of(found.archive)
        if entries is None:
            text = complaint(self._file.name, "an archive", found.archive.start, "one of torch.save", "another")
            self.warn(UnsupportedError(text))
            return
        saved = read_saved(self._pickles, entries, self._namer, Step(None, found.name))
        self._tensors += saved.tensors
        if not saved.tensors:
            self.leave(found.name, "a value that is no tensor")
        self._checksums += saved.checksums
        if saved.warning is not None:
            self.warn(saved.warning)

    def leave(self, name: str, what: str) -> None:
        """Note what stays bytes though nothing is wrong with it."""
        self._unread.append(Unread(name, what))

    def reading(self) -> Reading:
        spans = with_literals(self._tensors, self._file.size)
        return Reading(NAME, spans, self.warning, None, tuple(self._checksums), tuple(self._unread))


def read_shard(file: SourceFile, items: Iterable[Item] | None = None) -> Reading:
    """The file as spans. ``items`` are those of the metadata that stand in this file; without them, all are found.

    Never raises for what the file holds: an item that is not there, overlaps another, or is damaged stays bytes, and
    the first such is the warning.
    """
    near = BufferedFile.over(file)
    collected = _Collected(near)
    found = _scanned(near, collected) if items is None else _located(near, items, collected)
    for archive in found:
        collected.add(archive)
    return collected.reading()


def _located(file: SourceFile, items: Iterable[Item], collected: _Collected) -> Iterator[_Named]:
    """The archives where the metadata says that they are. What was transformed is left as it is."""
    end = 0
    for item in sorted(items, key=lambda item: (item.offset, item.length)):
        stop = item.offset + item.length
        try:
            if item.offset < end or stop > file.size:
                what = f"item {quoted(item.name)}"
                found = f"bytes {item.offset} to {stop}"
                raise FormatError(complaint(file.name, what, item.offset, f"bytes {end} to {file.size}", found))
            end = stop
            if item.transforms:
                collected.leave(item.name, f"bytes that went through {', '.join(item.transforms)}")
                continue
            archive = read_archive(file, stop)
            if archive.start != item.offset:
                what = f"item {quoted(item.name)}"
                raise FormatError(complaint(file.name, what, item.offset, "an archive here", str(archive.start)))
        except FormatError as error:
            collected.warn(error)
            continue
        yield _Named(archive, item.name)


def _scanned(file: SourceFile, collected: _Collected) -> Iterator[_Named]:
    """The archives from the last to the first, given out from the first to the last under their numbers."""
    archives: list[Archive] = []
    stop = file.size
    try:
        while stop > 0:
            if len(archives) == MAX_ARCHIVES:
                text = complaint(file.name, "the file", stop, f"at most {MAX_ARCHIVES} archives", "more")
                raise LimitError(text)
            if archives and not ends_archive(file, stop):
                text = complaint(file.name, "an archive", stop, "the end of another before it", "other bytes")
                raise UnsupportedError(text)
            archives.append(read_archive(file, stop))
            stop = archives[-1].start
    except FormatError as error:
        collected.warn(error)
    for number, archive in enumerate(reversed(archives)):
        yield _Named(archive, str(number))
