"""What ``torch.save`` and ``torch.jit.save`` write: a zip archive with a pickle, and an entry for each storage.

::

    STEM/data.pkl         the pickle; its persistent ids name storages
    STEM/data/KEY         one storage's bytes, stored as they are
    STEM/byteorder        little or big; without it, little
    STEM/constants.pkl    TorchScript only: a second pickle, with its storages in STEM/constants/
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.checksums import Checksum
from deltackpt.formats.pickles.limits import MAX_PICKLE_BYTES
from deltackpt.formats.pickles.machine import Unpickled, read_pickle
from deltackpt.formats.pickles.nodes import Storage
from deltackpt.formats.pickles.paths import Step
from deltackpt.formats.pickles.state import Place, State
from deltackpt.formats.pytorch.entries import Entries
from deltackpt.formats.pytorch.found import tensors_of
from deltackpt.formats.pytorch.names import Namer
from deltackpt.formats.reading import Reading
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import TensorSpan, with_literals
from deltackpt.formats.wording import complaint, quoted
from deltackpt.formats.zips import Entry

_LONGEST_BYTEORDER = 16
_SHORT = 4096
_MOST_KNOWN = 1024


@dataclass(frozen=True, slots=True)
class Saved:
    """One archive, read. ``state`` is None for TorchScript, and where the pickle could not be read."""

    tensors: tuple[TensorSpan, ...]
    warning: FormatError | None
    state: State | None
    checksums: tuple[Checksum, ...]


class Pickles:
    """Reads the pickles of one file. Short ones of equal bytes are one tree: a file of many archives repeats a few."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self._known: dict[bytes, Unpickled] = {}

    def read(self, entry: Entry) -> Unpickled:
        """The pickle in ``entry``, which is stored; FormatError or LimitError."""
        if entry.length > MAX_PICKLE_BYTES:
            _refuse(self.file, entry, f"at most {MAX_PICKLE_BYTES} bytes", str(entry.length), LimitError)
        raw = self.file.read(entry.offset, entry.length)
        if entry.crc and (crc := zlib.crc32(raw)) != entry.crc:
            _refuse(self.file, entry, f"CRC-32 {entry.crc:08x}", f"{crc:08x}")
        if (known := self._known.get(raw)) is not None:
            return known
        unpickled = read_pickle(raw, entry.offset, self.file.name)
        # A fault says where in the file it is.
        if len(raw) <= _SHORT and unpickled.fault is None and len(self._known) < _MOST_KNOWN:
            self._known[raw] = unpickled
        return unpickled


def read_saved_file(file: SourceFile, entries: Entries) -> Reading:
    """A file that is one such archive."""
    saved = read_saved(Pickles(file), entries, Namer())
    kind = "pytorch" if entries.constants is None else "torchscript"
    return Reading(kind, with_literals(saved.tensors, file.size), saved.warning, saved.state, saved.checksums)


def read_saved(pickles: Pickles, entries: Entries, namer: Namer, top: Step | None = None) -> Saved:
    """The tensors of one archive in the file of ``pickles``, under names that begin at ``top``.

    Whatever does not fit is left out and becomes the warning; nothing is raised for it.
    """
    tensors: list[TensorSpan] = []
    warning, state = None, None
    for folder, entry, here in entries.pickles(top):
        try:
            if (content := _content(pickles, entries, folder, entry)) is None:
                continue
        except FormatError as error:
            warning = warning or error.with_traceback(None)
            continue
        tensors += tensors_of(content.unpickled, content.places, namer, here)
        warning = warning or content.unpickled.fault or content.misplaced
        if entries.constants is None:
            state = State(content.unpickled.root, content.places)
    return Saved(tuple(tensors), warning, state, tuple(_checksums(entries)))


@dataclass(frozen=True, slots=True)
class _Content:
    """One pickle, where its storages stand, and the first that is missing or of another size."""

    unpickled: Unpickled
    places: dict[str, Place]
    misplaced: FormatError | None


def _content(pickles: Pickles, entries: Entries, folder: str, entry: Entry) -> _Content | None:
    """None when there is nothing to find: the pickle is packed, or the tensors are those of a big-endian host."""
    if not entry.is_stored or not _is_little_endian(pickles.file, entries):
        return None
    unpickled = pickles.read(entry)
    return _Content(unpickled, *_places(pickles.file, entries, folder, unpickled))


def _is_little_endian(file: SourceFile, entries: Entries) -> bool:
    """What the byteorder entry says."""
    entry = entries.by_name.get("byteorder")
    if entry is None:
        return True
    order = file.read(entry.offset, min(entry.length, _LONGEST_BYTEORDER))
    if order not in (b"little", b"big"):
        _refuse(file, entry, "little or big", repr(order))
    return order == b"little"


def _places(
    file: SourceFile, entries: Entries, folder: str, unpickled: Unpickled
) -> tuple[dict[str, Place], FormatError | None]:
    """Where each storage stands, and the first that is missing or of another size. Packed ones have no place."""
    places: dict[str, Place] = {}
    fault = None
    for key, storage in unpickled.storages.items():
        entry = entries.by_name.get(f"{folder}/{key}")
        if entry is None or entry.size != storage.nbytes:
            fault = fault or _misplaced(file, entries, f"{folder}/{key}", storage, entry)
        elif entry.is_stored:
            places[key] = Place(entry.offset, entry.length)
    return places, fault


def _misplaced(file: SourceFile, entries: Entries, name: str, storage: Storage, entry: Entry | None) -> FormatError:
    what = f"entry {quoted(entries.stem + name)}"
    if entry is None:
        expected = "the storage that the pickle names"
        return FormatError(complaint(file.name, what, entries.main.offset, expected, "no entry"))
    return FormatError(complaint(file.name, what, entry.offset, f"{storage.nbytes} bytes", str(entry.size)))


def _checksums(entries: Entries) -> Iterator[Checksum]:
    """Those of all stored entries. PyTorch can be told to write none, and writes 0 then."""
    return (Checksum(e.name, e.offset, e.length, e.crc) for e in entries.by_name.values() if e.is_stored and e.crc)


def _refuse(
    file: SourceFile, entry: Entry, expected: str, found: str, kind: type[FormatError] = FormatError
) -> NoReturn:
    raise kind(complaint(file.name, f"entry {quoted(entry.name)}", entry.offset, expected, found))
