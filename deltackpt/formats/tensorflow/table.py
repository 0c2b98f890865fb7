"""An index file as a table: blocks of sorted keys with their values, in LevelDB's format (table_format.md).

1. The footer, at the end, says where the index block is.
2. The index block says where the data blocks are; they are read in the order of the file, so there are no cycles.
3. A block holds entries whose keys leave out what they share with the one before, then the places of those entries
   that share nothing (the restarts), then how many of these there are. Type and checksum follow the block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from deltackpt.errors import FormatError, LimitError, UnsupportedError
from deltackpt.formats.crc32c import masked_crc32c
from deltackpt.formats.protobuf import MAX_VARINT_BYTES, varint
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.tensorflow.limits import MAX_BLOCKS, MAX_ENTRIES, MAX_INDEX_BYTES, MAX_KEY_BYTES
from deltackpt.formats.wording import complaint, excerpt

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER_BYTES = 48

_TRAILER = struct.Struct("<BI")  # type of compression, masked checksum of block and type
_U32 = struct.Struct("<I")
_UNCOMPRESSED, _SNAPPY = 0, 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A key, and the bytes of the file that are its value."""

    key: bytes
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Handle:
    """Where a block is, its trailer not counted."""

    offset: int
    size: int


def is_table(file: SourceFile) -> bool:
    """Whether the file ends as a table does."""
    return file.size >= FOOTER_BYTES and file.read(file.size - len(MAGIC), len(MAGIC)) == MAGIC


def read_table(file: SourceFile) -> Iterator[Entry]:
    """All entries in the order of their keys. A block's checksum is verified before its entries are given."""
    if file.size > MAX_INDEX_BYTES:
        _refuse(file, "the size of the index", 0, f"at most {MAX_INDEX_BYTES}", str(file.size), LimitError)
    key, count = None, 0
    for handle in _handles(file):
        for entry in _entries(file, _read_block(file, handle, "a data block")):
            if key is not None and entry.key <= key:
                found = f"{excerpt(entry.key, 0, 'the empty key')} after {excerpt(key, 0, 'the empty key')}"
                _refuse(file, "the keys", entry.start, "keys in order", found)
            if (count := count + 1) > MAX_ENTRIES:
                _refuse(file, "the entries", entry.start, f"at most {MAX_ENTRIES}", "one more", LimitError)
            key = entry.key
            yield entry


def _handles(file: SourceFile) -> Iterator[_Handle]:
    """Where the data blocks are, one behind the other."""
    end = 0
    for count, pointer in enumerate(_entries(file, _read_block(file, _index_handle(file), "the index block"))):
        handle = _handle(file, pointer)
        if count == MAX_BLOCKS:
            _refuse(file, "the index block", pointer.start, f"at most {MAX_BLOCKS} blocks", "one more", LimitError)
        if handle.offset < end:
            expected = f"a block at byte {end} or behind"
            _refuse(file, "the index block", pointer.start, expected, f"one at {handle.offset}")
        end = handle.offset + handle.size + _TRAILER.size
        yield handle


@dataclass(frozen=True, slots=True)
class _Block:
    """A block that was read: its bytes without the trailer, and where they stand."""

    offset: int
    data: bytes


def _index_handle(file: SourceFile) -> _Handle:
    if file.size < FOOTER_BYTES:
        _refuse(file, "the footer", 0, f"{FOOTER_BYTES} bytes", f"a file of {file.size}")
    start = file.size - FOOTER_BYTES
    footer = file.read(start, FOOTER_BYTES)
    if footer[-len(MAGIC) :] != MAGIC:
        found = excerpt(footer, FOOTER_BYTES - len(MAGIC), "")
        _refuse(file, "the magic", file.size - len(MAGIC), repr(MAGIC), found)
    numbers = _varints(footer[: -len(MAGIC)], 4)
    if numbers is None:
        _refuse(file, "the footer", start, "two handles of blocks", excerpt(footer, 0, ""))
    return _Handle(numbers[2], numbers[3])


def _handle(file: SourceFile, pointer: Entry) -> _Handle:
    raw = file.read(pointer.start, pointer.stop - pointer.start)
    numbers = _varints(raw, 2)
    if numbers is None:
        _refuse(file, "the index block", pointer.start, "the handle of a block", excerpt(raw, 0, "nothing"))
    return _Handle(numbers[0], numbers[1])


def _varints(raw: bytes, count: int) -> list[int] | None:
    found, at = [], 0
    for _ in range(count):
        one = varint(raw, at)
        if one is None:
            return None
        found.append(one[0])
        at = one[1]
    return found


def _read_block(file: SourceFile, handle: _Handle, what: str) -> _Block:
    room = file.size - FOOTER_BYTES
    if handle.offset + handle.size + _TRAILER.size > room:
        expected = f"a block that ends before the footer at {room}"
        _refuse(file, what, min(handle.offset, room), expected, f"{handle.size} bytes and {_TRAILER.size}")
    raw = file.read(handle.offset, handle.size + _TRAILER.size)
    kind, checksum = _TRAILER.unpack_from(raw, handle.size)
    place = handle.offset + handle.size
    if kind != _UNCOMPRESSED:
        found = "snappy" if kind == _SNAPPY else str(kind)
        _refuse(file, f"the compression of {what}", place, "none", found, UnsupportedError)
    if (computed := masked_crc32c(raw[: handle.size + 1])) != checksum:
        _refuse(file, f"the checksum of {what}", place + 1, f"{computed:#010x}", f"{checksum:#010x}")
    return _Block(handle.offset, raw[: handle.size])


def _entries(file: SourceFile, block: _Block) -> Iterator[Entry]:
    data, restarts = block.data, _restarts(file, block)
    stop = len(data) - _U32.size * (len(restarts) + 1)
    at, key, starts = 0, b"", set()
    while at < stop:
        shared, fresh, length, begin = _entry_head(file, block, at, stop)
        end = begin + fresh + length
        if shared > len(key) or end > stop:
            expected = f"an entry that shares at most {len(key)} bytes and ends by byte {block.offset + stop}"
            found = f"{shared} shared, {fresh} of key, {length} of value"
            _refuse(file, "an entry", block.offset + at, expected, found)
        if shared + fresh > MAX_KEY_BYTES:
            _refuse(file, "a key", block.offset + at, f"at most {MAX_KEY_BYTES} bytes", str(shared + fresh), LimitError)
        if shared == 0:
            starts.add(at)
        key = key[:shared] + data[begin : begin + fresh]
        yield Entry(key, block.offset + end - length, block.offset + end)
        at = end
    wrong = set(restarts) - starts
    if wrong and stop:
        expected = "the place of an entry that shares nothing"
        _refuse(file, "a restart", block.offset + stop, expected, str(min(wrong)))


def _entry_head(file: SourceFile, block: _Block, at: int, stop: int) -> tuple[int, int, int, int]:
    """Three lengths of an entry, and where its key begins."""
    if at + 3 <= stop and max(head := block.data[at : at + 3]) < 0x80:
        return head[0], head[1], head[2], at + 3
    found, end = [], at
    for _ in range(3):
        one = varint(block.data[end : min(stop, end + MAX_VARINT_BYTES)], 0)
        if one is None:
            _refuse(file, "an entry", block.offset + at, "three lengths", excerpt(block.data, at, "nothing"))
        found.append(one[0])
        end += one[1]
    return found[0], found[1], found[2], end


def _restarts(file: SourceFile, block: _Block) -> tuple[int, ...]:
    size = len(block.data)
    if size < _U32.size:
        _refuse(file, "a block", block.offset, "at least 4 bytes", str(size))
    (count,) = _U32.unpack_from(block.data, size - _U32.size)
    room = size // _U32.size - 1
    if not 0 < count <= room:
        place = block.offset + size - _U32.size
        _refuse(file, "the number of restarts", place, f"1 to {room}, for which there is room", str(count))
    return struct.unpack_from(f"<{count}I", block.data, size - _U32.size * (count + 1))


def _refuse(
    file: SourceFile, what: str, byte: int, expected: str, found: str, kind: type[FormatError] = FormatError
) -> NoReturn:
    raise kind(complaint(file.name, what, byte, expected, found))
