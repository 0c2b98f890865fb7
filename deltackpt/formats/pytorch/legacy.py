"""What ``torch.save`` wrote before it used zip, and still does when told to: pickles, then the storages' bytes.

::

    pickle    the magic number
    pickle    the protocol version, 1001
    pickle    {"protocol_version", "little_endian", "type_sizes"}
    pickle    the object
    pickle    the keys of its storages, in the order of what follows
    for each  8 bytes: elements, little-endian; then the elements
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from deltackpt.errors import FormatError, LimitError
from deltackpt.formats.pickles.limits import MAX_PICKLE_BYTES
from deltackpt.formats.pickles.machine import Unpickled, read_pickle
from deltackpt.formats.pickles.nodes import Dict, Node, Storage
from deltackpt.formats.pickles.state import Place, State
from deltackpt.formats.pickles.tape import PickleCutError
from deltackpt.formats.pytorch.found import tensors_of
from deltackpt.formats.pytorch.names import Namer
from deltackpt.formats.reading import Reading
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.spans import with_literals
from deltackpt.formats.wording import complaint, quoted

NAME = "pytorch legacy"

_MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_BYTES = _MAGIC.to_bytes(10, "little")
_MAGIC_TEXT = b"L%dL\n." % _MAGIC
_VERSION = 1001
_FIRST_PIECE = 1 << 18
_COUNT_BYTES = 8


def recognises(head: bytes) -> bool:
    """Whether the first pickle is the magic number, in the binary form or in that of protocols 0 and 1."""
    return head.startswith(_MAGIC_TEXT) or (head.startswith(b"\x80") and _MAGIC_BYTES + b"." in head[:40])


def read(file: SourceFile) -> Reading:
    """The file as spans; FormatError or LimitError when its pickles or its storages are not as they should be."""
    at = 0
    pickles = []
    for _ in range(5):
        unpickled = _pickle_at(file, at)
        pickles.append(unpickled)
        at += unpickled.end
    magic, version, system, saved, keys = pickles
    if magic.root != _MAGIC or version.root != _VERSION:
        _refuse(file, "the first pickles", 0, f"PyTorch's magic number and version {_VERSION}", "others")
    places = dict(_places(file, at, keys.root, saved.storages))
    if not _is_little_endian(system.root):
        return Reading(NAME, with_literals((), file.size))
    spans = with_literals(tensors_of(saved, places, Namer()), file.size)
    return Reading(NAME, spans, saved.fault, State(saved.root, places))


def _pickle_at(file: SourceFile, offset: int) -> Unpickled:
    """The pickle at ``offset``, whose length nobody tells: read with ever more bytes until it ends within them."""
    size = _FIRST_PIECE
    while True:
        left = file.size - offset
        raw = file.read(offset, min(size, left, MAX_PICKLE_BYTES))
        try:
            return read_pickle(raw, offset, file.name)
        except PickleCutError:
            if len(raw) == left:
                raise
            if len(raw) == MAX_PICKLE_BYTES:
                expected = f"at most {MAX_PICKLE_BYTES} bytes"
                raise LimitError(complaint(file.name, "a pickle", offset, expected, "more")) from None
        size *= 4


def _places(file: SourceFile, at: int, keys: Node, storages: dict[str, Storage]) -> Iterator[tuple[str, Place]]:
    """Each storage in turn, to the end of the file."""
    if type(keys) is not list or len(keys) != len(storages):
        _refuse(file, "the storages", at, f"the keys of {len(storages)} of them", "others")
    left = dict(storages)
    for key in keys:
        storage = left.pop(_key_text(key), None)
        if storage is None:
            _refuse(file, "the storages", at, "each key of the pickle once", "another")
        if file.size - at < _COUNT_BYTES:
            _refuse(file, "the data is cut off", at, f"{_COUNT_BYTES} bytes", str(file.size - at))
        count = int.from_bytes(file.read(at, _COUNT_BYTES), "little", signed=True)
        if count != storage.count:
            _refuse(file, f"storage {quoted(storage.key)}", at, f"{storage.count} elements", str(count))
        at += _COUNT_BYTES
        if file.size - at < storage.nbytes:
            expected = f"a file of at least {at + storage.nbytes} bytes"
            _refuse(file, "the data is cut off", file.size, expected, str(file.size))
        yield storage.key, Place(at, storage.nbytes)
        at += storage.nbytes
    if at != file.size:
        _refuse(file, "trailing bytes", at, f"a file of {at} bytes", str(file.size))


def _key_text(key: Node) -> str:
    """A key as the pickle's persistent ids have it; one that no file has when it is neither text nor a number."""
    if type(key) is int and key.bit_length() <= 64:
        return str(key)
    return key if type(key) is str else ""


def _is_little_endian(system: Node) -> bool:
    return type(system) is not Dict or ("little_endian", False) not in system.pairs


def _refuse(file: SourceFile, what: str, at: int, expected: str, found: str) -> NoReturn:
    raise FormatError(complaint(file.name, what, at, expected, found))
