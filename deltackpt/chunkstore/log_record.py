"""A record of the log, and the bytes it has in a file.

envelope  magic 8, record number u64, body length u64, inline length u64, xxh3-64 of all the rest
body      msgpack of LogRecord
inline    pack records (see record.py) of a commit too small to deserve a pack
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Annotated

import msgspec
import xxhash

from deltackpt.errors import CorruptError, LimitError, UnsupportedError
from deltackpt.ids import ChunkId, CommitId, EpochId, PackId

VERSION = 0
MAGIC = b"DCKPLOG" + bytes([VERSION])
_ENVELOPE = struct.Struct("<8sQQQQ")
ENVELOPE_SIZE = _ENVELOPE.size
MAX_RECORD_BYTES = 1 << 28

# Ids of another length are refused when a record is read.
_Pack = Annotated[bytes, msgspec.Meta(min_length=PackId.size, max_length=PackId.size)]
_Chunk = Annotated[bytes, msgspec.Meta(min_length=ChunkId.size, max_length=ChunkId.size)]
_Commit = Annotated[bytes, msgspec.Meta(min_length=CommitId.size, max_length=CommitId.size)]


class LogCorruptError(CorruptError):
    """Log record ``number`` is missing or damaged. The refs before it are intact."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


class RefMove(msgspec.Struct, frozen=True, array_like=True):
    """A ref changes from ``old`` to ``new`` (commit ids); None stands for absent."""

    name: str
    old: _Commit | None
    new: _Commit | None


class PackAdded(msgspec.Struct, frozen=True, array_like=True):
    """A pack that becomes part of the store: its id, file size and number of records."""

    id: _Pack
    size: int
    records: int


class CommitAdded(msgspec.Struct, frozen=True, array_like=True):
    """A commit object and the bytes that storing it added to the store."""

    data: bytes
    stored_bytes: int


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A commit, or with ``part`` one part of it."""

    commit: _Commit
    part: str | None = None


class Annotation(msgspec.Struct, frozen=True, array_like=True):
    """A metric of a commit found after it was made: ``value`` instead of ``old``; None stands for absent."""

    commit: _Commit
    name: str
    old: float | None
    value: float | None


class LogRecord(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One publish: everything that it changes, at once.

    ``write_id`` is random and tells a writer whether the record under a number is its own. ``time_ns`` is for
    people; order is the record's number. A *duplicate* chunk was in the store already, so the copy that comes with
    this record is never used; every other copy of a *superseding* record takes over from the one in use. A
    *condemned* pack may still be read and revived; a *gone* one will be unlinked and never comes back; an *orphan* is
    an unpublished pack that no one may publish any more. A *forgotten* chunk lies in a pack that stays, but was
    garbage and a base of it has gone; a *dropped* commit was reachable from no ref.
    A *quarantined* pack is a gone one whose file is damaged: it is kept aside, not unlinked. A *lost* chunk is not in
    the store although commits may need it, until a later record brings it. A *substitute* stands for a record that was
    damaged, with what is still known of that.
    A *deleted* commit or part is hidden and comes back when *undeleted*, until a gc has *purged* its contents.
    A record that is *sealed* is the last of its epoch, and says which is the next.
    A commit that is *annotated* has metrics that were found later; the last word on each counts.
    """

    write_id: bytes
    time_ns: int
    operation: str
    actor: str = ""
    refs: tuple[RefMove, ...] = ()
    commits: tuple[CommitAdded, ...] = ()
    packs: tuple[PackAdded, ...] = ()
    duplicates: tuple[_Chunk, ...] = ()
    superseding: bool = False
    revived: tuple[_Pack, ...] = ()
    condemned: tuple[_Pack, ...] = ()
    gone: tuple[_Pack, ...] = ()
    orphans: tuple[_Pack, ...] = ()
    forgotten: tuple[_Chunk, ...] = ()
    quarantined: tuple[_Pack, ...] = ()
    lost: tuple[_Chunk, ...] = ()
    dropped: tuple[_Commit, ...] = ()
    deleted: tuple[Piece, ...] = ()
    undeleted: tuple[Piece, ...] = ()
    purged: tuple[Piece, ...] = ()
    sealed: bytes = b""
    annotated: tuple[Annotation, ...] = ()
    substitute: bool = False

    def __post_init__(self) -> None:
        if len(self.sealed) not in (0, EpochId.size):
            raise ValueError(f"an epoch is {EpochId.size} bytes, got {len(self.sealed)}")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log: the number of the last record known, and the epoch in which the next one stands."""

    number: int
    epoch: EpochId


@dataclass(frozen=True, slots=True)
class Published:
    """A record as it stands in the log. ``inline_offset`` is where its inline bytes begin in the file.

    A record that was archived has no inline bytes any more: a gc moved them to packs.
    """

    number: int
    epoch: EpochId
    record: LogRecord
    inline: bytes
    inline_offset: int

    @property
    def position(self) -> Position:
        """The place after this record."""
        return Position(self.number, EpochId(self.record.sealed) if self.record.sealed else self.epoch)


# Identities are bytes with a face of their own, which msgpack does not know.
_encoder = msgspec.msgpack.Encoder(enc_hook=bytes)
_decoder = msgspec.msgpack.Decoder(LogRecord)


def encode(number: int, record: LogRecord, inline: bytes = b"") -> bytes:
    """The whole file of a record; LimitError when it is too large."""
    body = _encoder.encode(record)
    counts = struct.pack("<QQQ", number, len(body), len(inline))
    checksum = xxhash.xxh3_64_intdigest(b"".join((counts, body, inline)), seed=VERSION)
    data = b"".join((MAGIC, counts, checksum.to_bytes(8, "little"), body, inline))
    if len(data) > MAX_RECORD_BYTES:
        raise LimitError(
            f"a log record of {len(data)} bytes is more than the {MAX_RECORD_BYTES} allowed; commit less at once"
        )
    return data


def decode(data: bytes, number: int, epoch: EpochId, path: str) -> Published:
    """A record from its file; LogCorruptError when it is damaged, UnsupportedError when it is newer."""
    published, size = decode_at(memoryview(data), 0, number, epoch, path)
    if size != len(data):
        raise damaged(number, path, "its envelope is wrong")
    return published


def decode_despite_magic(data: bytes, number: int, epoch: EpochId, path: str) -> Published | None:
    """A record of which nothing but the magic, with the version, may be damaged; None when more is."""
    try:
        return decode(MAGIC + data[len(MAGIC) :], number, epoch, path)
    except (LogCorruptError, UnsupportedError):
        return None


def decode_segment(data: bytes, last: int, epoch: EpochId, path: str) -> list[Published]:
    """The records of an archived epoch, which ends with ``last``. Errors as in :func:`decode`."""
    view, at, found = memoryview(data), 0, []
    number = _ENVELOPE.unpack_from(data)[1] if len(data) >= ENVELOPE_SIZE else last
    while number <= last:
        published, size = decode_at(view, at, number, epoch, path)
        found.append(published)
        at, number = at + size, number + 1
    if at != len(view) or not found or not found[-1].record.sealed:
        raise damaged(last, path, "the segment does not end with it")
    return found


def decode_at(view: memoryview, at: int, number: int, epoch: EpochId, path: str) -> tuple[Published, int]:
    """Record ``number`` at byte ``at``, and how many bytes it takes."""
    if len(view) - at < ENVELOPE_SIZE:
        raise damaged(number, path, f"cut short at {len(view) - at} bytes")
    magic, claimed, body_length, inline_length, checksum = _ENVELOPE.unpack_from(view, at)
    size = ENVELOPE_SIZE + body_length + inline_length
    placed = claimed == number and size <= len(view) - at
    sound = placed and _checksum(view[at : at + size]) == checksum
    if magic[:7] == MAGIC[:7] and magic != MAGIC and not sound:
        raise UnsupportedError(f"log record {number} ({path}) is of a newer format; upgrade deltackpt")
    if magic != MAGIC or not placed:
        raise damaged(number, path, "its envelope is wrong")
    if not sound:
        raise damaged(number, path, "checksum does not match")
    inline_offset = ENVELOPE_SIZE + body_length
    try:
        record = _decoder.decode(view[at + ENVELOPE_SIZE : at + inline_offset])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnsupportedError(f"log record {number} ({path}) holds what this release does not know: {error}") from None
    return Published(number, epoch, record, bytes(view[at + inline_offset : at + size]), inline_offset), size


def _checksum(record: memoryview) -> int:
    """Seeded with the version, so that a damaged version is told from a newer one: under it, nothing else is wrong."""
    digest = xxhash.xxh3_64(record[8:32], seed=VERSION)
    digest.update(record[ENVELOPE_SIZE:])
    return digest.intdigest()


def legible_body(data: bytes) -> LogRecord | None:
    """What the body of a damaged record seems to say, of which nothing is proved; None when it makes no sense."""
    if len(data) < ENVELOPE_SIZE:
        return None
    length = _ENVELOPE.unpack_from(data)[2]
    try:
        return _decoder.decode(memoryview(data)[ENVELOPE_SIZE : ENVELOPE_SIZE + length])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def damaged(number: int, path: str, reason: str) -> LogCorruptError:
    return LogCorruptError(
        f"log record {number} ({path}): {reason}; commits before it are intact,"
        " run `deltackpt repair`, or restore this file from a copy of the store",
        number,
    )
