"""The directory of an archive: its entries, each compared with the header before its data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from deltackpt.errors import FormatError, LimitError, UnsafeError, UnsupportedError
from deltackpt.formats.names import SAFE_NAME, is_unsafe
from deltackpt.formats.source_file import SourceFile
from deltackpt.formats.wording import complaint, quoted
from deltackpt.formats.zips.end import Directory
from deltackpt.formats.zips.headers import (
    CENTRAL,
    CENTRAL_MAGIC,
    ENCRYPTED,
    IN_ZIP64,
    LOCAL,
    LOCAL_MAGIC,
    SIZES_FOLLOW,
    STORED,
    UTF8,
    CentralHeader,
    LocalHeader,
    wide_numbers,
)
from deltackpt.formats.zips.limits import MAX_NAME_BYTES


class Entry(NamedTuple):
    """One file in an archive. Its ``length`` bytes as they are stored stand at ``offset`` of the file.

    ``size`` is what they unpack to, ``crc`` the CRC-32 of that, ``header`` where the local header begins.
    """

    name: str
    method: int
    crc: int
    length: int
    size: int
    header: int
    offset: int

    @property
    def is_stored(self) -> bool:
        """The bytes are the file's own, neither packed nor cut."""
        return self.method == STORED

    @property
    def end(self) -> int:
        return self.offset + self.length

    @property
    def title(self) -> str:
        return _title(self.name)


def read_entries(file: SourceFile, directory: Directory) -> Iterator[Entry]:
    """Every entry, in the directory's order, under a name of its own."""
    raw = file.read(directory.offset, directory.length)
    names: set[str] = set()
    at = 0
    for _ in range(directory.count):
        here = directory.offset + at
        if at + CENTRAL.size > len(raw):
            _refuse(file, "the directory", here, f"{directory.count} entries", len(names))
        central = CentralHeader._make(CENTRAL.unpack_from(raw, at))
        extra_at = at + CENTRAL.size + central.name_length
        end = extra_at + central.extra_length + central.comment_length
        if central.magic != CENTRAL_MAGIC or end > len(raw):
            _refuse(file, "an entry of the directory", here, f"{CENTRAL_MAGIC!r} and its fields", repr(central.magic))
        raw_name = raw[at + CENTRAL.size : extra_at]
        name = _name(file, raw_name, central.flags, here)
        if name in names:
            _refuse(file, "the directory", here, "distinct names", f"{quoted(name)} twice")
        names.add(name)
        extra = raw[extra_at : extra_at + central.extra_length]
        yield _entry(file, directory, _Described(name, raw_name, central, extra, here))
        at = end
    if at != len(raw):
        _refuse(file, "the directory", directory.offset + at, "its end", f"{len(raw) - at} more bytes")


class _Described(NamedTuple):
    """An entry as the directory describes it at byte ``at``."""

    name: str
    raw_name: bytes
    header: CentralHeader
    extra: bytes
    at: int

    @property
    def title(self) -> str:
        return _title(self.name)


def _title(name: str) -> str:
    """What errors call an entry."""
    return f"entry {quoted(name)}"


def _name(file: SourceFile, raw: bytes, flags: int, at: int) -> str:
    if len(raw) > MAX_NAME_BYTES:
        _refuse(file, "a name in the directory", at, f"at most {MAX_NAME_BYTES} bytes", len(raw), LimitError)
    try:
        name = raw.decode("utf-8" if flags & UTF8 else "cp437")
    except UnicodeDecodeError:
        _refuse(file, "a name in the directory", at, "UTF-8", repr(raw[:24]))
    if is_unsafe(name):
        _refuse(file, "a name in the directory", at, SAFE_NAME, quoted(name), UnsafeError)
    return name


def _entry(file: SourceFile, directory: Directory, described: _Described) -> Entry:
    central = described.header
    if central.flags & ENCRYPTED:
        _refuse(file, described.title, described.at, "no encryption", f"flags {central.flags:#06x}", UnsupportedError)
    size, packed, offset = _sizes(file, described)
    header = directory.start + offset
    local = _local_header(file, directory, described, header)
    if local.method != central.method:
        _refuse(file, described.title, header, f"method {central.method}, as in the directory", local.method)
    if not central.flags & SIZES_FOLLOW and not _agree(local, central):
        _refuse(file, described.title, header, "the sizes and checksum of the directory", "others")
    data = header + LOCAL.size + local.name_length + local.extra_length
    if data + packed > directory.offset:
        _refuse(file, described.title, header, f"at most {max(0, directory.offset - data)} bytes", packed)
    if central.method == STORED and size != packed:
        _refuse(file, described.title, described.at, f"{size} stored bytes", packed)
    return Entry(described.name, central.method, central.crc, packed, size, header, data)


def _sizes(file: SourceFile, described: _Described) -> tuple[int, int, int]:
    """Size, stored length and offset of the local header, from the zip64 extra field where 32 bits do not hold them."""
    central = described.header
    narrow = (central.size, central.packed, central.offset)
    missing = narrow.count(IN_ZIP64)
    if not missing:
        return narrow
    wide = wide_numbers(described.extra, missing)
    if wide is None:
        _refuse(file, described.title, described.at, f"{missing} numbers in a zip64 extra field", "fewer")
    more = iter(wide)
    size, packed, offset = (next(more) if number == IN_ZIP64 else number for number in narrow)
    return size, packed, offset


def _local_header(file: SourceFile, directory: Directory, described: _Described, header: int) -> LocalHeader:
    length = LOCAL.size + len(described.raw_name)
    if header + length > directory.offset:
        _refuse(file, described.title, described.at, f"a header before byte {directory.offset}", f"one at {header}")
    raw = file.read(header, length)
    local = LocalHeader._make(LOCAL.unpack_from(raw))
    names_agree = raw[LOCAL.size :] == described.raw_name and local.name_length == len(described.raw_name)
    if local.magic != LOCAL_MAGIC or not names_agree:
        _refuse(file, described.title, header, f"{LOCAL_MAGIC!r} and its name", repr(raw[:24]))
    if local.flags & ENCRYPTED:
        _refuse(file, described.title, header, "no encryption", f"flags {local.flags:#06x}", UnsupportedError)
    return local


def _agree(local: LocalHeader, central: CentralHeader) -> bool:
    """Whether both headers give the same sizes; those that moved to an extra field of the local one count as equal."""
    pairs = ((local.crc, central.crc), (local.size, central.size), (local.packed, central.packed))
    return all(here == there or IN_ZIP64 in (here, there) for here, there in pairs)


def _refuse(
    file: SourceFile, what: str, at: int, expected: str, found: object, kind: type[FormatError] = FormatError
) -> NoReturn:
    raise kind(complaint(file.name, what, at, expected, str(found)))
