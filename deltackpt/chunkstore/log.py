"""The log: numbered, checksummed, create-only records. It holds the truth.

    envelope  magic 8, record number u64, body length u64, inline length u64, xxh3-64 of all the rest
    body      msgpack of LogRecord
    inline    pack records (see record.py) of a commit too small to deserve a pack

A record is published by giving a finished, synced file the next free number with ``link``, which fails when
the number is taken. Whoever loses that race catches up and decides again.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import xxhash

from deltackpt.chunkstore.layout import Layout, record_number
from deltackpt.errors import CorruptError, LimitError, StorageError, UnsupportedError
from deltackpt.fs.disk import Disk

MAGIC = b"DCKPLOG\x00"
_ENVELOPE = struct.Struct("<8sQQQQ")
ENVELOPE_SIZE = _ENVELOPE.size
MAX_RECORD_BYTES = 1 << 28


class LogCorruptError(CorruptError):
    """A log record is missing or damaged. The refs before it are intact."""


class UnknownOutcomeError(StorageError):
    """The record may have been published, but something failed that follows: look at the log before retrying."""


class RefMove(msgspec.Struct, frozen=True, array_like=True):
    """A ref changes from ``old`` to ``new`` (commit ids); None stands for absent."""

    name: str
    old: bytes | None
    new: bytes | None


class PackAdded(msgspec.Struct, frozen=True, array_like=True):
    """A pack that becomes part of the store: its id, file size and number of records."""

    id: bytes
    size: int
    records: int


class CommitAdded(msgspec.Struct, frozen=True, array_like=True):
    """A commit object and the bytes that storing it added to the store."""

    data: bytes
    stored_bytes: int


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A commit, or with ``part`` one part of it."""

    commit: bytes
    part: str | None = None


class LogRecord(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One publish: everything that it changes, at once.

    ``write_id`` is random and tells a writer whether the record under a number is its own. ``time_ns`` is for
    people; order is the record's number. A *duplicate* chunk was in the store already, so the copy that comes with
    this record is never used. A *condemned* pack may still be read and revived; a *gone* one will be unlinked and
    never comes back; an *orphan* is an unpublished pack that no one may publish any more. A *forgotten* chunk lies in
    a pack that stays, but was garbage and a base of it has gone; a *dropped* commit was reachable from no ref.
    A *deleted* commit or part is hidden and comes back when *undeleted*, until a gc has *purged* its contents.
    """

    write_id: bytes
    time_ns: int
    operation: str
    actor: str = ""
    refs: tuple[RefMove, ...] = ()
    commits: tuple[CommitAdded, ...] = ()
    packs: tuple[PackAdded, ...] = ()
    duplicates: tuple[bytes, ...] = ()
    revived: tuple[bytes, ...] = ()
    condemned: tuple[bytes, ...] = ()
    gone: tuple[bytes, ...] = ()
    orphans: tuple[bytes, ...] = ()
    forgotten: tuple[bytes, ...] = ()
    dropped: tuple[bytes, ...] = ()
    deleted: tuple[Piece, ...] = ()
    undeleted: tuple[Piece, ...] = ()
    purged: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """A record as it stands in the log. ``inline_offset`` is where its inline bytes begin in the file."""

    number: int
    record: LogRecord
    inline: bytes
    inline_offset: int


# Identities are bytes with a face of their own, which msgpack does not know.
_encoder = msgspec.msgpack.Encoder(enc_hook=bytes)
_decoder = msgspec.msgpack.Decoder(LogRecord)


def encode(number: int, record: LogRecord, inline: bytes) -> bytes:
    """The whole file of a record."""
    body = _encoder.encode(record)
    counts = struct.pack("<QQQ", number, len(body), len(inline))
    checksum = xxhash.xxh3_64_intdigest(b"".join((counts, body, inline)))
    return b"".join((MAGIC, counts, checksum.to_bytes(8, "little"), body, inline))


def decode(data: bytes, number: int, path: str) -> Published:
    """A record from its file; LogCorruptError when it is damaged, UnsupportedError when it is newer."""
    if len(data) < ENVELOPE_SIZE:
        raise _damaged(number, path, f"cut short at {len(data)} bytes")
    magic, claimed, body_length, inline_length, checksum = _ENVELOPE.unpack_from(data)
    if magic[:7] == MAGIC[:7] and magic != MAGIC:
        raise UnsupportedError(f"log record {number} ({path}) is of a newer format; upgrade deltackpt")
    if magic != MAGIC or claimed != number or ENVELOPE_SIZE + body_length + inline_length != len(data):
        raise _damaged(number, path, "its envelope is wrong")
    if xxhash.xxh3_64_intdigest(data[8:32] + data[ENVELOPE_SIZE:]) != checksum:
        raise _damaged(number, path, "checksum does not match")
    inline_offset = ENVELOPE_SIZE + body_length
    try:
        record = _decoder.decode(data[ENVELOPE_SIZE:inline_offset])
    except msgspec.ValidationError as error:
        raise UnsupportedError(f"log record {number} ({path}) holds what this release does not know: {error}") from None
    return Published(number, record, data[inline_offset:], inline_offset)


def _damaged(number: int, path: str, reason: str) -> LogCorruptError:
    return LogCorruptError(
        f"log record {number} ({path}): {reason}; commits before it are intact,"
        " restore this file from a copy of the store"
    )


class Log:
    """The records of one store."""

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk = disk
        self._layout = layout

    def numbers(self) -> list[int]:
        """Numbers that have a record, ascending; LogCorruptError when one between them is missing."""
        found = sorted(n for name in self._disk.names(self._layout.log) if (n := record_number(name)) is not None)
        for expected, number in enumerate(found, 1):
            if number != expected:
                path = self._layout.record(expected)
                raise _damaged(expected, path, f"missing, though record {found[-1]} exists")
        return found

    def read(self, number: int) -> Published | None:
        """The record, or None while the number is free."""
        path = self._layout.record(number)
        try:
            data = self._disk.read(path, MAX_RECORD_BYTES)
        except FileNotFoundError:
            return None
        return decode(data, number, path)

    def since(self, number: int, last: int | None = None) -> Iterator[Published]:
        """Every record after ``number``, in order, up to ``last`` or the first free number."""
        while number != last and (published := self.read(number + 1)) is not None:
            yield published
            number += 1

    def settle(self, number: int) -> int:
        """Make every record after ``number`` durable that has its number now; returns the last of them.

        Another writer's record can be seen before its name is durable, and what is done because of it must not
        survive a power loss that the record does not.
        """
        while self._disk.exists(self._layout.record(number + 1)):
            number += 1
        self._disk.sync_directory(self._layout.log)
        return number

    def append(self, number: int, record: LogRecord, inline: bytes = b"") -> bool:
        """Publish ``record`` under ``number`` if that is free: the commit point. False when another took it.

        True means durable: the file was synced before it got its number, the directory after. UnknownOutcomeError
        when the record may have its number but that could not be made sure; any other error: it has none.
        """
        staged = os.path.join(self._layout.log, f".{record.write_id.hex()}.tmp")
        self._stage(staged, _checked_size(encode(number, record, inline)))
        try:
            if not self._claim(staged, number, record.write_id):
                return False
            try:
                self._disk.sync_directory(self._layout.log)
            except StorageError as error:
                raise UnknownOutcomeError(
                    f"record {number} was published but not made durable: {error}; run `deltackpt log`"
                ) from error
        finally:
            # The outcome is settled; a name that stays behind is swept by a later gc.
            with contextlib.suppress(StorageError):
                self._disk.unlink(staged)
        return True

    def _stage(self, path: str, data: bytes) -> None:
        try:
            fd = self._disk.create(path)
        except FileNotFoundError:
            raise StorageError(f"folder {self._layout.log!r} is missing; restore it from a copy of the store") from None
        try:
            self._disk.write(fd, [data], path)
            self._disk.sync(fd, path)
        except BaseException:
            with contextlib.suppress(StorageError):
                self._disk.unlink(path)
            raise
        finally:
            self._disk.close(fd, path)

    def _claim(self, staged: str, number: int, write_id: bytes) -> bool:
        try:
            self._disk.link(staged, self._layout.record(number))
        except FileNotFoundError:
            # A gc with another idea of the time took the staged file for a leftover.
            return False
        except FileExistsError:
            return self._is_ours(number, write_id)
        except StorageError:
            if not self._is_ours(number, write_id):
                raise
        return True

    def _is_ours(self, number: int, write_id: bytes) -> bool:
        """Whether the link was made after all: a network file system may do it and lose the answer."""
        try:
            present = self.read(number)
        except StorageError as error:
            raise UnknownOutcomeError(
                f"record {number} may have been published, it cannot be read back: {error}; run `deltackpt log`"
            ) from error
        return present is not None and present.record.write_id == write_id


def _checked_size(data: bytes) -> bytes:
    if len(data) > MAX_RECORD_BYTES:
        raise LimitError(
            f"a log record of {len(data)} bytes is more than the {MAX_RECORD_BYTES} allowed; commit less at once"
        )
    return data
